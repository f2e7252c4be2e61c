# SPDX-License-Identifier: MIT
"""TLS: keys and certificates, and who is turned away."""
import pytest

from conftest import VMNBD, need, run


def psk(folder, user="alice"):
    folder.mkdir()
    keys = folder / "keys.psk"
    run("psktool", "-u", user, "-p", keys)
    return keys


def uri(s, query, user="alice@"):
    return "nbds+unix://%s/?socket=%s&%s" % (user, s.socket, query)


def supported(disk, *objects):
    done = run(VMNBD, *objects, "-k", "/nonexistent/s", "-f", "raw", disk, check=False)
    if "without GnuTLS" in done.stderr:
        pytest.skip("built without GnuTLS")


def test_shared_keys(server, disk, tmp_path):
    need("psktool", "nbdcopy", "nbdinfo")
    keys, others = psk(tmp_path / "keys"), psk(tmp_path / "others")
    tls = ("--object", "tls-creds-psk,id=t,dir=%s,endpoint=server" % keys.parent, "--tls-creds", "t")
    supported(disk, *tls)
    with server("-t", "-e", "0", "-f", "raw", *tls, disk) as s:
        run("nbdcopy", uri(s, "tls-psk-file=%s" % keys), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == disk.read_bytes()
        assert run("nbdinfo", uri(s, "tls-psk-file=%s" % others), check=False).returncode != 0
        plain = run("nbdinfo", s.uri, check=False)
        assert plain.returncode != 0
        run("nbdinfo", uri(s, "tls-psk-file=%s" % keys))  # none of that ended it


TEMPLATE = {"ca": "cn = an authority\nca\ncert_signing_key\n",
            "server": "cn = localhost\ndns_name = localhost\ntls_www_server\nencryption_key\nsigning_key\n",
            "client": "cn = a client\ntls_www_client\nencryption_key\nsigning_key\n"}


def certificates(folder):
    folder.mkdir()
    for who, text in TEMPLATE.items():
        (folder / (who + ".info")).write_text(text)
        key = folder / (who + "-key.pem")
        run("certtool", "--generate-privkey", "--ecc", "--outfile", key)
        more = (["--generate-self-signed"] if who == "ca" else
                ["--generate-certificate", "--load-ca-certificate", folder / "ca-cert.pem",
                 "--load-ca-privkey", folder / "ca-key.pem"])
        run("certtool", *more, "--load-privkey", key, "--template", folder / (who + ".info"),
            "--outfile", folder / (who + "-cert.pem"))
    return folder


@pytest.mark.parametrize("verify", ["on", "off"])
def test_certificates(server, disk, tmp_path, verify):
    need("certtool", "nbdinfo")
    nbd = pytest.importorskip("nbd")
    pki = certificates(tmp_path / "pki")
    strange = certificates(tmp_path / "strange")
    tls = ("--object", "tls-creds-x509,id=t,dir=%s,endpoint=server,verify-peer=%s" % (pki, verify),
           "--tls-creds", "t")
    supported(disk, *tls)
    with server("-t", "-e", "0", "-f", "raw", *tls, disk) as s:
        def connect(folder):
            h = nbd.NBD()
            h.set_tls(nbd.TLS_REQUIRE)
            h.set_tls_certificates(str(folder))
            h.set_tls_verify_peer(folder == pki)
            h.connect_unix(s.socket)
            size = h.get_size()
            h.shutdown()
            return size
        assert connect(pki) == 64 << 20
        if verify == "on":
            with pytest.raises(nbd.Error):
                connect(strange)
        else:
            assert connect(strange) == 64 << 20
