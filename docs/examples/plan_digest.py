"""Compute the digest of a plan from the plan itself, without crm-sweep; docs/campaigns.md says what it covers.

    curl "$URL/v1/jobs/ID/plan?format=csv" | python plan_digest.py conditions.json

conditions.json: {"address": "https://crm.example.com", "protected": [contact IDs], "guards": {as in docs/campaigns.md}}
Add "keeps_records": true for a job that does.
"""

import csv
import hashlib
import json
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

CODES = {"deletable": 1, "read_only": 2, "has_invoice": 3, "absent": 4, "protected": 6}


def sha256(data: bytes) -> str:
    """Return the SHA-256 as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def of_ids(ids: Iterable[int]) -> str:
    """Return the SHA-256 of contact IDs."""
    return sha256(b"".join(struct.pack("<I", contact_id) for contact_id in sorted(ids)))


facts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
plan = [(int(line["contact_id"]), line["verdict"]) for line in csv.DictReader(sys.stdin)]
protected = set(facts["protected"])
guards = json.dumps(facts["guards"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
conditions = f"address: {facts['address']}\nprotected: {of_ids(protected)}\nguards: {guards}\n"
verdicts = bytes(5 if contact_id in protected else CODES[verdict] for contact_id, verdict in plan)
operation = "keep records, then delete contacts" if facts.get("keeps_records") else "delete contacts"
text = (
    f"crm-sweep plan 1\noperation: {operation}\n"
    f"conditions: {sha256(conditions.encode())}\n"
    f"list: {of_ids(contact_id for contact_id, _ in plan)}\n"
    f"verdicts: {sha256(verdicts)}\n"
)
sys.stdout.write(f"{sha256(text.encode())}\n")
