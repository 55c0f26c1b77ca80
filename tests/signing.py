"""What a DFSP's technician makes to have a certificate signed, right and wrong; and an authority in a folder."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from hub.participants import certificate_authority
from tests.proofs import key_of

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def csr(*names: str, key: Key | None = None, digest: hashes.HashAlgorithm | None = None) -> str:
    """A signing request in PEM for these common names, with a key that belongs to the first one."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    signed = builder.sign(key or key_of(f"tls of {names[0]}"), digest or hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def forged(name: str) -> str:
    """A request with another's key in it: its signature is not that key's."""
    own = x509.load_pem_x509_csr(csr(name).encode())
    der = own.public_bytes(serialization.Encoding.DER)
    inner = own.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    others = (
        key_of("somebody else")
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert len(inner) == len(others)
    return x509.load_der_x509_csr(der.replace(inner, others)).public_bytes(serialization.Encoding.PEM).decode()


def authority_in(folder: Path) -> dict[str, str]:
    """Makes an authority in this folder; the settings that name it."""
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    certificate_authority.create("scheme", certificate_file=certificate_file, key_file=key_file)
    return {"HUB_CA_CERTIFICATE_FILE": str(certificate_file), "HUB_CA_KEY_FILE": str(key_file)}
