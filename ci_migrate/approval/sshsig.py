"""The verification of SSH signatures: OpenSSH's PROTOCOL.sshsig and PROTOCOL.u2f, with the package `cryptography`.

Keys: Ed25519, ECDSA on the NIST curves, RSA of 2048 bits and more (never with SHA-1), and both kinds of hardware
keys, whose signature must say that somebody touched them.

Why this is our own: `ssh-keygen -Y verify` accepts a hardware key's signature that nobody touched the key for (a test
shows it), and slim images, in which gates run, have no OpenSSH. `sshsig` 0.3.1 on PyPI knows neither ECDSA nor hardware
keys, skips the reserved field and takes any hash. `cryptography` reads SSH keys but no signatures.
"""

import base64
import hashlib
import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ci_migrate.errors import SettingsError

NAMESPACE = "ci-migrate-approval@v1"

MAGIC = b"SSHSIG"
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_CURVES = {"nistp256": "SECP256R1", "nistp384": "SECP384R1", "nistp521": "SECP521R1"}
_RSA = {"rsa-sha2-256": "SHA256", "rsa-sha2-512": "SHA512"}
_RSA_BITS = range(2048, 16384 + 1)
_TOUCHED = 1


class BadSignatureError(Exception):
    """It is no signature of a kind that is accepted, or not one of this message by this key."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature, taken apart; nothing of it is verified. `key` is the public key as in an authorized_keys line."""

    key: bytes
    namespace: str
    hash_name: str
    signature: bytes


class _Reader:
    """Reads the strings and numbers of SSH's wire format (RFC 4251, section 5)."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def take(self, size: int) -> bytes:
        if size > len(self._left):
            raise BadSignatureError("it ends too early")
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def number(self) -> int:
        return int(struct.unpack(">I", self.take(4))[0])

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            return self.string().decode("ascii")
        except UnicodeDecodeError:
            raise BadSignatureError("a name in it is no ASCII") from None

    def mpint(self) -> int:
        data = self.string()
        # each number has one way to be written (RFC 4251): with a second one a token would have a twin
        if data[:1] >= b"\x80" or (data[:1] == b"\0" and data[1:2] < b"\x80") or not data:
            raise BadSignatureError("a number in it is not written as it should be")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        if self._left:
            raise BadSignatureError("there is more behind its end")


def encode_string(data: bytes) -> bytes:
    """A string of SSH's wire format."""
    return struct.pack(">I", len(data)) + data


def parse(data: bytes) -> Signature:
    """A signature in its binary form.

    Raises:
        BadSignatureError: it is none.
    """
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC or reader.number() != 1:
        raise BadSignatureError("it is no SSH signature of version 1")
    key, namespace, reserved = reader.string(), reader.text(), reader.string()
    hash_name, signature = reader.text(), reader.string()
    reader.end()
    if reserved or hash_name not in _HASHES:
        raise BadSignatureError("it is made in a way that is not known here")
    return Signature(key=key, namespace=namespace, hash_name=hash_name, signature=signature)


def fingerprint(key: bytes) -> str:
    """A key's fingerprint, as ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def key_type(key: bytes) -> str:
    """The first field of a public key. Raises BadSignatureError."""
    return _Reader(key).text()


def well_formed(key: bytes, kind: str) -> bool:
    """Whether a public key has the fields that keys of this type have; not whether it can verify anything."""
    reader, fields = _Reader(key), _FIELDS.get(kind, 0)
    try:
        found = [reader.string() for _ in range(fields)]
        reader.end()
    except BadSignatureError:
        return False
    return found[:1] == [kind.encode()]


def signed_data(namespace: str, hash_name: str, message: bytes) -> bytes:
    """What the key signs: the message's hash, with what it is good for."""
    digest = _HASHES[hash_name](message).digest()
    return MAGIC + b"".join(map(encode_string, (namespace.encode(), b"", hash_name.encode(), digest)))


def verify(signature: Signature, message: bytes) -> None:
    """Raise BadSignatureError unless the key in it signed the message in its namespace.

    Whether anybody trusts that key is another question.

    Raises:
        SettingsError: the extra is not installed.
    """
    kind = key_type(signature.key)
    check = _CHECKS.get(kind)
    if check is None:
        raise BadSignatureError(f"keys of the type {kind[:40]} are not accepted")
    # by its own namespace: who calls compares that with ours, and can then say whose signature for what it is
    data = signed_data(signature.namespace, signature.hash_name, message)
    reader = _Reader(signature.signature)
    algorithm = reader.text()
    key = _Reader(signature.key)
    key.string()
    check(key, algorithm, reader, data)


def _verify(key: Any, *arguments: Any) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(*arguments)
    except InvalidSignature:
        raise BadSignatureError("it does not fit") from None


def _check_ed25519(key: _Reader, algorithm: str, reader: _Reader, data: bytes) -> None:
    public = _ed25519(key.string())
    key.end()
    _expect(algorithm, "ssh-ed25519")
    value = reader.string()
    reader.end()
    _verify(public, value, data)


def _check_rsa(key: _Reader, algorithm: str, reader: _Reader, data: bytes) -> None:
    exponent, modulus = key.mpint(), key.mpint()
    key.end()
    if algorithm not in _RSA:  # `ssh-rsa` as an algorithm is SHA-1
        raise BadSignatureError(f"{algorithm[:40]} is not accepted")
    if modulus.bit_length() not in _RSA_BITS or not 3 <= exponent < 1 << 32:
        raise BadSignatureError("its RSA key is too small, or too large")
    value = reader.string()
    reader.end()
    hashes, _, padding, rsa, _ = primitives()
    try:
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise BadSignatureError("it is no key") from None
    if len(value) > public.key_size // 8:
        raise BadSignatureError("it does not fit")
    # leading zeros may be left out on the wire
    value = value.rjust(public.key_size // 8, b"\0")
    _verify(public, value, data, padding.PKCS1v15(), getattr(hashes, _RSA[algorithm])())


def _check_ecdsa(key: _Reader, algorithm: str, reader: _Reader, data: bytes) -> None:
    curve = key.text()
    public = _point(curve, key.string())
    key.end()
    _expect(algorithm, f"ecdsa-sha2-{curve}")
    value = _der(reader.string())
    reader.end()
    _verify(public, value, data, ecdsa(curve))


def _check_sk_ed25519(key: _Reader, algorithm: str, reader: _Reader, data: bytes) -> None:
    public, application = _ed25519(key.string()), key.string()
    key.end()
    _expect(algorithm, "sk-ssh-ed25519@openssh.com")
    value = reader.string()
    _verify(public, value, _touched(reader, application, data))


def _check_sk_ecdsa(key: _Reader, algorithm: str, reader: _Reader, data: bytes) -> None:
    curve = key.text()
    public, application = _point(curve, key.string()), key.string()
    key.end()
    _expect(curve, "nistp256")
    _expect(algorithm, "sk-ecdsa-sha2-nistp256@openssh.com")
    value = _der(reader.string())
    _verify(public, value, _touched(reader, application, data), ecdsa(curve))


_CHECKS: Mapping[str, Callable[[_Reader, str, _Reader, bytes], None]] = {
    "ssh-ed25519": _check_ed25519,
    "ssh-rsa": _check_rsa,
    **{f"ecdsa-sha2-{curve}": _check_ecdsa for curve in _CURVES},
    "sk-ssh-ed25519@openssh.com": _check_sk_ed25519,
    "sk-ecdsa-sha2-nistp256@openssh.com": _check_sk_ecdsa,
}
KEY_TYPES = tuple(_CHECKS)
_FIELDS = {
    "ssh-ed25519": 2,
    **dict.fromkeys(("ssh-rsa", "sk-ssh-ed25519@openssh.com"), 3),
    **dict.fromkeys((f"ecdsa-sha2-{curve}" for curve in _CURVES), 3),
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}


def _expect(found: str, wanted: str) -> None:
    if found != wanted:
        raise BadSignatureError(f"{found[:40]} is not {wanted}")


def _touched(reader: _Reader, application: bytes, data: bytes) -> bytes:
    """What a hardware key signs; it must say that somebody touched it."""
    flags, counter = reader.take(1), reader.take(4)
    reader.end()
    if not flags[0] & _TOUCHED:
        raise BadSignatureError("nobody touched the key")
    return hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(data).digest()


def _ed25519(value: bytes) -> Any:
    *_, ed25519 = primitives()
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(value)
    except ValueError:
        raise BadSignatureError("it is no key") from None


def _point(curve: str, value: bytes) -> Any:
    _, ec, *_ = primitives()
    # 4: uncompressed, as OpenSSH writes points; the same point in another form would be another key to us
    if curve not in _CURVES or value[:1] != b"\x04":
        raise BadSignatureError("it is no key")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(getattr(ec, _CURVES[curve])(), value)
    except ValueError:
        raise BadSignatureError("it is no key") from None


def ecdsa(curve: str) -> Any:
    """The signature algorithm of a curve."""
    hashes, ec, *_ = primitives()
    names = {"nistp256": "SHA256", "nistp384": "SHA384", "nistp521": "SHA512"}
    return ec.ECDSA(getattr(hashes, names[curve])())


def _der(value: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    pair = _Reader(value)
    r, s = pair.mpint(), pair.mpint()
    pair.end()
    return bytes(encode_dss_signature(r, s))


def primitives() -> Any:
    """hashes, ec, padding, rsa, ed25519. Raises SettingsError where the extra is not installed."""
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    except ImportError as error:
        raise SettingsError(
            "Signed approvals need the package cryptography.", hint="pip install 'ci-migrate[approval]'"
        ) from error
    return hashes, ec, padding, rsa, ed25519
