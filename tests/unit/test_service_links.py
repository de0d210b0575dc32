"""Variables that Kubernetes and Docker set for other services are left alone; misspelt settings are not."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.reference import Setting, all_settings
from config.service_links import is_service_link, service_links
from config.settings import ConfigError, load_settings

NO_FILE = Path("/dev/null")
MAIN = {"CRM_SWEEP_PORTALS__MAIN__URL": "https://crm.example.com", "CRM_SWEEP_PORTALS__MAIN__TOKEN": "tok-of-main-1"}


def of_kubernetes(service: str, *ports: tuple[str, int, str], address: str = "10.96.0.12") -> dict[str, str]:
    """Return what the kubelet puts into every container for a service (kubelet/envvars)."""
    prefix = service.upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    first = ports[0][1]
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first)}
    variables[f"{prefix}_PORT"] = f"{ports[0][2]}://{host}:{first}"
    for name, port, protocol in ports:
        if name:
            variables[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(port)
        link = f"{prefix}_PORT_{port}_{protocol.upper()}"
        variables |= {
            link: f"{protocol}://{host}:{port}",
            f"{link}_PROTO": protocol,
            f"{link}_PORT": str(port),
            f"{link}_ADDR": address,
        }
    return variables


def of_docker(alias: str, port: int) -> dict[str, str]:
    """Return what Docker puts into a container that is linked to another one."""
    prefix = alias.upper().replace("-", "_")
    link = f"{prefix}_PORT_{port}_TCP"
    return {
        f"{prefix}_NAME": f"/web/{alias}",
        f"{prefix}_PORT": f"tcp://172.17.0.5:{port}",
        link: f"tcp://172.17.0.5:{port}",
        f"{link}_PROTO": "tcp",
        f"{link}_PORT": str(port),
        f"{link}_ADDR": "172.17.0.5",
        f"{link}_START": f"tcp://172.17.0.5:{port}",
        f"{link}_END": f"tcp://172.17.0.5:{port + 5}",
        f"{link}_PORT_START": str(port),
        f"{link}_PORT_END": str(port + 5),
        f"{prefix}_ENV_GOSU_VERSION": "1.10",
        f"{prefix}_ENV_CRM_SWEEP_PORTALS__MAIN__TOKEN": "somebody-elses",
        f"{prefix}_ENV_path": "/usr/bin",
    }


SERVICES = ["crm-sweep", "crm-sweep-api", "crm-sweep-redis", "crm-sweep-portals", "crm-sweep-log", "crm-sweep--worker",
            "crm-sweep-redis-1", "crm-sweep-name", "crm-sweep-service-port"]  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("address", ["10.96.0.12", "fd00::1"])
def test_what_kubernetes_says_of_another_service_is_left_alone(service: str, address: str) -> None:
    links = of_kubernetes(service, ("http", 80, "tcp"), ("metrics-1", 9100, "tcp"), ("", 53, "udp"), address=address)
    assert load_settings(NO_FILE, MAIN | links) == load_settings(NO_FILE, MAIN)
    for name, value in links.items():  # each of them on its own as well
        load_settings(NO_FILE, MAIN | {name: value})
    assert service_links(MAIN | links) == sorted(links)


@pytest.mark.parametrize("alias", ["crm-sweep", "crm-sweep-redis", "crm_sweep_api"])
def test_what_docker_says_of_a_linked_container_is_left_alone(alias: str) -> None:
    links = of_docker(alias, 6379)
    assert load_settings(NO_FILE, MAIN | links) == load_settings(NO_FILE, MAIN)
    assert service_links(MAIN | links) == sorted(links)


def test_settings_beside_such_variables_keep_working() -> None:
    links = of_kubernetes("crm-sweep-api", ("http", 80, "tcp")) | of_kubernetes("crm-sweep-redis", ("", 6379, "tcp"))
    given = {"CRM_SWEEP_API__PORT": "9000", "CRM_SWEEP_REDIS__URL": "redis://crm-sweep-redis:6379/0"}
    settings = load_settings(NO_FILE, MAIN | links | given)
    assert settings.api.port == 9000
    assert settings.redis.redacted == "redis://crm-sweep-redis:6379/0"


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("CRM_SWEEP_API_PROT", "8080", "CRM_SWEEP_API__PORT"),
        ("CRM_SWEEP_API_PORT", "8080", "CRM_SWEEP_API__PORT"),
        ("CRM_SWEEP_API__PROT", "tcp://10.0.0.1:80", "CRM_SWEEP_API__PORT"),
        ("CRM_SWEEP_REDIS__URLL", "redis://h", "CRM_SWEEP_REDIS__URL"),
        ("CRM_SWEEP_REDIS_URL", "redis://h", "CRM_SWEEP_REDIS__URL"),
        ("CRM_SWEEP_PORTALS__MAIN__TOKN", "x", "CRM_SWEEP_PORTALS__MAIN__TOKEN"),
        ("CRM_SWEEP_PORTALS__SERVICE_PORT__TOKN", "x", "CRM_SWEEP_PORTALS__SERVICE_PORT__TOKEN"),
        ("CRM_SWEEP_PORTALS_ENV_TOKEN", "x", "CRM_SWEEP_PORTALS__MAIN__TOKEN"),
        ("crm_sweep_redis__urll", "redis://h", "CRM_SWEEP_REDIS__URL"),
    ],
)
def test_a_misspelt_setting_is_told_as_before(name: str, value: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(NO_FILE, MAIN | {name: value})
    assert caught.value.problems == [f"environment variable {name}: matches no setting; did you mean {hint}?"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRM_SWEEP_PORT", "8080"),
        ("CRM_SWEEP_NAME", "sweeper"),
        ("CRM_SWEEP_REDIS_NAME", "redis"),
        ("CRM_SWEEP_PORTALS__MAIN__NAME", "/web/main"),
        ("CRM_SWEEP_REDIS_ENV_GOSU_VERSION", "1.10"),
        ("CRM_SWEEP_API__SERVICE_PORT", "80"),
        ("CRM_SWEEP_API__PORT_80_TCP_ADDR", "10.0.0.1"),
        ("CRM_SWEEP_SERVICEHOST", "10.0.0.1"),
        ("crm_sweep_service_host", "10.0.0.1"),
        ("CRM_SWEEP_ZONE", "eu"),
    ],
)
def test_what_only_looks_like_it_is_no_link(name: str, value: str) -> None:
    assert not is_service_link(name, {name: value})
    with pytest.raises(ConfigError, match=f"environment variable {name}: matches no setting"):
        load_settings(NO_FILE, MAIN | {name: value})


@pytest.mark.parametrize("name", ["CRM_SWEEP_ZONE", "CRM_SWEEP_KUBECONFIG_PATH", "CRM_SWEEP_PORTALS__MAIN__COLOUR"])
def test_a_name_that_is_like_no_setting_gets_no_hint(name: str) -> None:
    """What all names have in common must not make them look similar."""
    with pytest.raises(ConfigError) as caught:
        load_settings(NO_FILE, MAIN | {name: "x"})
    assert caught.value.problems == [f"environment variable {name}: matches no setting"]


@settings(deadline=None)
@example(all_settings()["tracing", "service_name"], "a")
@given(
    st.sampled_from([setting for setting in all_settings().values() if setting.env]), st.from_regex(r"[a-z0-9_]{1,9}")
)
def test_no_setting_is_ever_taken_for_a_link(setting: Setting, portal: str) -> None:
    name = setting.env.replace("<NAME>", portal.strip().upper())
    for value in ("tcp://10.0.0.1:80", "10.0.0.1", "80", "/web/crm-sweep"):
        assert not is_service_link(name, {name: value})
