"""Turning a good answer into the bad one that a fault asks for."""

import json

from pyroaring import BitMap

from simulator import replies as answers
from simulator.faults import Fault
from simulator.replies import Answer, error, json_text, page, success


def distort(fault: Fault, answer: Answer, asked: BitMap) -> Answer:
    """Return the answer as the fault distorts it; faults of the connection leave it unchanged."""
    if fault.fault == "error":
        if fault.status == 500:
            return error(500, "Unable to connect to any of the specified MySQL hosts.", answers.DATABASE)
        return page(fault.status)
    if fault.fault == "forbidden":
        message = "Connection must be valid and open to commit transaction"
        return error(403, message, answers.INVALID_OPERATION)
    if fault.fault == "html":
        body = b"<!DOCTYPE html>\n<html><head><title>ONLYOFFICE</title></head><body>Portal is starting</body></html>\n"
        return Answer(200, body, answers.HTML)
    return _spoilt_list(fault, answer, asked) if answer.ok else answer


def _spoilt_list(fault: Fault, answer: Answer, asked: BitMap) -> Answer:
    if fault.fault == "replay":
        return success("[]", count=0)
    if fault.fault not in ("wrong_count", "foreign_id", "disordered", "repeated"):
        return answer
    envelope = json.loads(answer.body)
    count_key, list_key = ("Count", "Response") if "Response" in envelope else ("count", "response")
    listed = envelope[list_key]
    if not isinstance(listed, list):
        return answer
    if fault.fault == "foreign_id":
        foreign_id = (asked.max() if asked else 0) + 1
        id_key = next((key for key in (listed[0] if listed else {}) if key.lower() == "id"), "id")
        listed.append((listed[0] if listed else {}) | {id_key: foreign_id})
        envelope[count_key] = len(listed)
    elif fault.fault == "disordered":
        listed.reverse()
    elif fault.fault == "repeated":
        listed += listed[:1]
        envelope[count_key] = len(listed)
    else:
        envelope[count_key] = len(listed) + 1
    in_order = {count_key: envelope.pop(count_key, 0)} | envelope
    return Answer(answer.status, json_text(in_order).encode(), answer.content_type, answer.headers)
