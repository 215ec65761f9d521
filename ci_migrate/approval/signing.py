"""SSH signatures made: with a private key of OpenSSH's format, an agent, or a hardware key by way of `ssh-keygen`."""

import base64
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ci_migrate.approval.sshsig import (
    KEY_TYPES,
    MAGIC,
    NAMESPACE,
    BadSignatureError,
    ecdsa,
    encode_string,
    key_type,
    primitives,
    signed_data,
)
from ci_migrate.errors import CiMigrateError, SettingsError, UsageError
from ci_migrate.process import run_tool
from ci_migrate.tempdirs import private_folder

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


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
    # sha512 with each kind of key, as `ssh-keygen -Y sign` does
    value = _sign(private, key_type(key), signed_data(namespace, "sha512", message))
    fields = (key, namespace.encode(), b"", b"sha512", value)
    return MAGIC + struct.pack(">I", 1) + b"".join(map(encode_string, fields))


def from_armor(text: str) -> bytes:
    """The binary form of what `ssh-keygen -Y sign` writes. Raises BadSignatureError."""
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise BadSignatureError("it is no armored SSH signature")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError:
        raise BadSignatureError("it is no armored SSH signature") from None


def _private_key(key_file: Path, text: bytes, passphrase: Callable[[], str] | None) -> Any:
    primitives()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    def load(password: bytes | None) -> Any:
        try:
            return load_ssh_private_key(text, password)
        except UnsupportedAlgorithm as error:
            if "bcrypt" in str(error):  # it has no type of its own, nor has a missing password below
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
    hashes, _, padding, *_ = primitives()
    if kind == "ssh-ed25519":
        return encode_string(kind.encode()) + encode_string(private.sign(data))
    if kind == "ssh-rsa":
        return encode_string(b"rsa-sha2-512") + encode_string(
            private.sign(data, padding.PKCS1v15(), hashes.SHA512())
        )
    if kind not in KEY_TYPES:
        raise UsageError(
            f"Keys of the type {kind} are not accepted.", hint="ssh-keygen -t ed25519 makes one."
        )
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(private.sign(data, ecdsa(kind.removeprefix("ecdsa-sha2-"))))
    return encode_string(kind.encode()) + encode_string(_mpint(r) + _mpint(s))


def _sign_with_ssh_keygen(key_file: Path, message: bytes, namespace: str) -> bytes:
    with private_folder() as folder:
        file = Path(folder, "message")
        file.write_bytes(message)
        run_tool(["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(key_file), str(file)], timeout=120)
        try:
            return from_armor(file.with_name("message.sig").read_text(encoding="ascii"))
        except (OSError, BadSignatureError) as error:
            raise CiMigrateError(f"ssh-keygen made no signature with {key_file}.") from error


def _mpint(number: int) -> bytes:
    return encode_string(number.to_bytes(number.bit_length() // 8 + 1, "big"))
