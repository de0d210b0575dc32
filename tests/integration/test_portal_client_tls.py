"""A certificate that cannot be trusted stops the job before anything is sent."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.forwarder import listening
from config.portal import Portal
from worker.portal_answers import Failure, Remedy
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore


def _certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_a_certificate_of_an_unknown_authority_stops_the_job(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1

    async def pace() -> None:
        pytest.fail("a configured token needs no further request")

    async with listening(serve, tls=context) as port:
        config = Portal.model_validate({"name": "main", "url": f"https://127.0.0.1:{port}", "token": "the-token"})
        client = PortalClient(config, LocalTokenStore(), pace)
        failure = await client.delete([1])
        await client.close()
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason) == (Remedy.STOP, "portal_protocol")
    assert (failure.may_have_deleted, failure.sent) == (False, False)
    assert "certificate" in failure.message
    assert "self-signed" in failure.message
    assert served == 0
