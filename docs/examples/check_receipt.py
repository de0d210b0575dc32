"""Check a receipt, or a proof, of crm-sweep without crm-sweep; docs/receipts.md has the format.

    python check_receipt.py PUBLIC_KEY receipt.json [ledger.csv]

PUBLIC_KEY is the line that `crm-sweep keys new receipt` has printed, such as "$(cat receipts.pub)".
Needs the library `cryptography`. Ends with an error where something does not agree.
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

OUTCOMES = ("pending", "deleted", "presumed_deleted", "not_found", "refused", "failed", "protected", "skipped")


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """Return the Merkle tree hash of RFC 9162."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256()
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", root_of(leaves[:left]), root_of(leaves[left:]))


def check(what: str, agrees: bool) -> None:
    """End with an error if something does not agree."""
    if not agrees:
        sys.exit(f"does not agree: {what}")


if len(sys.argv) not in {3, 4}:
    sys.stderr.write("usage: python check_receipt.py PUBLIC_KEY receipt.json [ledger.csv]\n")
    sys.exit(2)
public_key, document = sys.argv[1], json.loads(Path(sys.argv[2]).read_bytes())
signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key.removeprefix("ed25519:")))
try:
    signer.verify(bytes.fromhex(document["signature"]), document["statement"].encode())
except InvalidSignature:
    check("signature, statement and public key", False)
said = dict(line.split(": ", 1) for line in document["statement"].splitlines()[1:])
if document["format"] == "crm-sweep proof 1":
    index, last = document["index"], int(said["total"]) - 1
    result = sha256(b"\0", bytes.fromhex(document["salt"]), document["line"].encode())
    for beside in map(bytes.fromhex, document["path"]):
        while last and index == last and index % 2 == 0:  # it has nothing beside it: it goes up as it is
            index, last = index // 2, last // 2
        result = sha256(b"\1", beside, result) if index % 2 else sha256(b"\1", result, beside)
        index, last = index // 2, last // 2
    check("line, salt, index and path", (last, result.hex()) == (0, said["root"]))
elif len(sys.argv) > 3:
    lines = Path(sys.argv[3]).read_bytes().removesuffix(b"\n").split(b"\n")[1:]
    salts = Cipher(algorithms.AES(bytes.fromhex(document["opening"]["seed"])), modes.CTR(bytes(16))).encryptor()
    leaves = [sha256(b"\0", salts.update(bytes(16)), line) for line in lines]
    check("the ledger's lines", root_of(leaves).hex() == said["root"])
    counts = Counter(line.split(b",")[1].decode() for line in lines)
    check("the counts", all(said[outcome] == str(counts[outcome]) for outcome in OUTCOMES))
sys.stdout.write("agrees\n")
