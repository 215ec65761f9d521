"""SSH signatures: OpenSSH's PROTOCOL.sshsig and PROTOCOL.u2f, verified and made with `cryptography` (extra `approval`).

Keys: Ed25519, ECDSA on the NIST curves, RSA of 2048 bits and more (never with SHA-1), and both kinds of hardware
keys, whose signature must say that somebody touched them.
"""

import base64
import hashlib
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ci_migrate.errors import CiMigrateError, SettingsError, UsageError
from ci_migrate.process import run_tool

NAMESPACE = "ci-migrate-approval@v1"

_MAGIC = b"SSHSIG"
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_CURVES = {"nistp256": "SECP256R1", "nistp384": "SECP384R1", "nistp521": "SECP521R1"}
_RSA = {"rsa-sha2-256": "SHA256", "rsa-sha2-512": "SHA512"}
_RSA_BITS = range(2048, 16384 + 1)
_TOUCHED = 1
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


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
        if data[:1] >= b"\x80" or (data[:1] == b"\0" and data[1:2] < b"\x80") or not data:
            raise BadSignatureError("a number in it is not written as it should be")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        if self._left:
            raise BadSignatureError("there is more behind its end")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def parse(data: bytes) -> Signature:
    """A signature in its binary form.

    Raises:
        BadSignatureError: it is none.
    """
    reader = _Reader(data)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != 1:
        raise BadSignatureError("it is no SSH signature of version 1")
    key, namespace, reserved = reader.string(), reader.text(), reader.string()
    hash_name, signature = reader.text(), reader.string()
    reader.end()
    if reserved or hash_name not in _HASHES:
        raise BadSignatureError("it is made in a way that is not known here")
    return Signature(key=key, namespace=namespace, hash_name=hash_name, signature=signature)


def from_armor(text: str) -> bytes:
    """The binary form of what `ssh-keygen -Y sign` writes. Raises BadSignatureError."""
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise BadSignatureError("it is no armored SSH signature")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError:
        raise BadSignatureError("it is no armored SSH signature") from None


def to_armor(signature: bytes) -> str:
    """What `ssh-keygen -Y verify` reads."""
    text = base64.b64encode(signature).decode()
    lines = [text[n : n + 70] for n in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END, ""])


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


def _signed_data(namespace: str, hash_name: str, message: bytes) -> bytes:
    digest = _HASHES[hash_name](message).digest()
    return _MAGIC + b"".join(map(_string, (namespace.encode(), b"", hash_name.encode(), digest)))


# --------------------------------------------------------------------------- verifying


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
    data = _signed_data(signature.namespace, signature.hash_name, message)
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
    if algorithm not in _RSA:
        raise BadSignatureError(f"{algorithm[:40]} is not accepted")
    if modulus.bit_length() not in _RSA_BITS or not 3 <= exponent < 1 << 32:
        raise BadSignatureError("its RSA key is too small, or too large")
    value = reader.string()
    reader.end()
    hashes, _, padding, rsa, _ = _primitives()
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
    _verify(public, value, data, _ecdsa(curve))


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
    _verify(public, value, _touched(reader, application, data), _ecdsa(curve))


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
    *_, ed25519 = _primitives()
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(value)
    except ValueError:
        raise BadSignatureError("it is no key") from None


def _point(curve: str, value: bytes) -> Any:
    _, ec, *_ = _primitives()
    if curve not in _CURVES or value[:1] != b"\x04":
        raise BadSignatureError("it is no key")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(getattr(ec, _CURVES[curve])(), value)
    except ValueError:
        raise BadSignatureError("it is no key") from None


def _ecdsa(curve: str) -> Any:
    hashes, ec, *_ = _primitives()
    names = {"nistp256": "SHA256", "nistp384": "SHA384", "nistp521": "SHA512"}
    return ec.ECDSA(getattr(hashes, names[curve])())


def _der(value: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    pair = _Reader(value)
    r, s = pair.mpint(), pair.mpint()
    pair.end()
    return bytes(encode_dss_signature(r, s))


def _primitives() -> Any:
    """hashes, ec, padding, rsa, ed25519. Raises SettingsError where the extra is not installed."""
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    except ImportError as error:
        raise SettingsError(
            "Signed approvals need the package cryptography.", hint="pip install 'ci-migrate[approval]'"
        ) from error
    return hashes, ec, padding, rsa, ed25519


# --------------------------------------------------------------------------- signing


def sign(
    key_file: Path, message: bytes, passphrase: Callable[[], str] | None = None, namespace: str = NAMESPACE
) -> bytes:
    """Sign with a private key of OpenSSH's format.

    Args:
        key_file: the private key; or a public one (`.pub`), whose private half an agent or a hardware key holds.
        message: what is signed.
        passphrase: asked where the key is encrypted.
        namespace: what the signature is good for.

    Returns:
        The signature in its binary form.

    Raises:
        UsageError: the file holds no key that can sign, or the passphrase is wrong.
        SettingsError: the extra is not installed.
        ToolError: ssh-keygen could not.
    """
    try:
        text = key_file.read_bytes()
    except OSError as error:
        raise UsageError(f"The key {key_file} can't be read: {error.strerror}.") from error
    if b"PRIVATE KEY" not in text:
        return _sign_with_ssh_keygen(key_file, message, namespace)
    private = _private_key(key_file, text, passphrase)
    if private is None:  # a hardware key: its file only says where the key is
        return _sign_with_ssh_keygen(key_file, message, namespace)
    return sign_with(private, message, namespace)


def sign_with(private: Any, message: bytes, namespace: str = NAMESPACE) -> bytes:
    """Sign with a private key of `cryptography`'s. Returns the signature in its binary form."""
    key = _public_blob(private)
    value = _sign(private, key_type(key), _signed_data(namespace, "sha512", message))
    fields = (key, namespace.encode(), b"", b"sha512", value)
    return _MAGIC + struct.pack(">I", 1) + b"".join(map(_string, fields))


def _private_key(key_file: Path, text: bytes, passphrase: Callable[[], str] | None) -> Any:
    _primitives()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    def load(password: bytes | None) -> Any:
        try:
            return load_ssh_private_key(text, password)
        except UnsupportedAlgorithm as error:
            if "bcrypt" in str(error):
                raise SettingsError(
                    f"The key {key_file} is encrypted: that needs the package bcrypt.",
                    hint="pip install 'ci-migrate[approval]'",
                ) from error
            return None

    try:
        return load(None)
    except (ValueError, TypeError) as error:
        if "password" not in str(error).lower():
            _no_key(key_file, error)
        if passphrase is None:
            raise UsageError(
                f"The key {key_file} has a passphrase.", hint="Type it, or use ssh-agent."
            ) from error
    try:
        return load(passphrase().encode())
    except (ValueError, TypeError) as error:
        raise UsageError(f"The passphrase of {key_file} is wrong.") from error


def _no_key(key_file: Path, error: Exception) -> NoReturn:
    raise UsageError(
        f"{key_file} holds no private key of OpenSSH's format.", hint="ssh-keygen -t ed25519 makes one."
    ) from error


def _public_blob(private: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _sign(private: Any, kind: str, data: bytes) -> bytes:
    hashes, _, padding, *_ = _primitives()
    if kind == "ssh-ed25519":
        return _string(kind.encode()) + _string(private.sign(data))
    if kind == "ssh-rsa":
        return _string(b"rsa-sha2-512") + _string(private.sign(data, padding.PKCS1v15(), hashes.SHA512()))
    if kind not in KEY_TYPES:
        raise UsageError(
            f"Keys of the type {kind} are not accepted.", hint="ssh-keygen -t ed25519 makes one."
        )
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(private.sign(data, _ecdsa(kind.removeprefix("ecdsa-sha2-"))))
    return _string(kind.encode()) + _string(_mpint(r) + _mpint(s))


def _sign_with_ssh_keygen(key_file: Path, message: bytes, namespace: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="ci-migrate-") as folder:
        file = Path(folder, "message")
        file.write_bytes(message)
        run_tool(["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(key_file), str(file)], timeout=120)
        try:
            return from_armor(file.with_name("message.sig").read_text(encoding="ascii"))
        except (OSError, BadSignatureError) as error:
            raise CiMigrateError(f"ssh-keygen made no signature with {key_file}.") from error
