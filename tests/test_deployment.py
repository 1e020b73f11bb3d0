"""What the deployment files promise: least rights, probes and settings that exist, secrets that fit, time to drain."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from app.bootstrap import SENDS_FINISH_S, TASKS_END_S
from app.commands.serve import REQUESTS_FINISH_S, STREAMS_CLOSE_S
from app.config import Settings, load_settings
from app.main import create_app
from tests.documents import ROOT, code_blocks, read
from tests.test_docs import is_setting

DRAIN_S = STREAMS_CLOSE_S + REQUESTS_FINISH_S + SENDS_FINISH_S + TASKS_END_S
CLOSING_S = 3.0
"""Time for closing pools and sockets, which has no bound of its own."""
NAME = "app.kubernetes.io/name"


def _manifests() -> list[Any]:
    paths = [path for path in sorted((ROOT / "k8s").rglob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in paths for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def _one(kind: str) -> Any:
    (found,) = [document for document in _manifests() if document["kind"] == kind]
    return found


def _settings_env() -> dict[str, str]:
    return dict(line.split("=", 1) for line in read("k8s/base/settings.env").splitlines())


def _compose() -> Any:
    return yaml.safe_load(read("docker-compose.prod.yml"))


def _pods() -> list[Any]:
    return [_one("Deployment")["spec"]["template"]["spec"], _one("Job")["spec"]["template"]["spec"]]


def _instructions(word: str) -> list[str]:
    """What follows each ``word`` of the Dockerfile."""
    return re.findall(rf"^{word} (.+)$", read("Dockerfile").replace("\\\n", " "), re.MULTILINE)


def test_the_image_has_the_service_and_nothing_else() -> None:
    """It copies what exists, and .dockerignore lets exactly that through."""
    copied = {words.split()[0] for words in _instructions("COPY") if not words.startswith("--from")}
    assert copied == {"requirements.txt", "app", "migrations"}
    assert all((ROOT / name).exists() for name in copied)
    patterns = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")} == copied


def test_the_image_is_pinned_and_not_root() -> None:
    """Hashes for every requirement, no compiler, a numeric user that Kubernetes can prove is not root."""
    dockerfile = read("Dockerfile")
    assert "--no-deps --require-hashes --only-binary :all:" in dockerfile
    requirements = re.split(r"^(?=[a-z0-9])", read("requirements.txt"), flags=re.MULTILINE)
    assert [one for one in requirements if "==" in one and "--hash=sha256:" not in one] == []
    assert _instructions("USER") == ["10001:10001"]
    assert "/health/live" in dockerfile[dockerfile.index("HEALTHCHECK") :]


def test_the_requirements_are_complete() -> None:
    """They are installed as listed, without resolving again, so the list must name all that its packages need."""
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def _imported(*directories: str) -> Iterator[str]:
    for path in (path for directory in directories for path in (ROOT / directory).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield node.module.split(".")[0]


def test_the_image_has_what_the_service_imports() -> None:
    """Development's requirements hide a missing one everywhere but in the image."""
    pinned = {name.lower() for name in re.findall(r"^([A-Za-z0-9._-]+)==", read("requirements.txt"), re.MULTILINE)}
    providers = packages_distributions()
    foreign = set(_imported("app", "migrations")) - set(sys.stdlib_module_names) - {"app", "migrations"}
    missing = {module for module in foreign if not {_normal(name) for name in providers.get(module, [])} & pinned}
    assert missing == set()


def _normal(distribution: str) -> str:
    """As requirements.txt writes the name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize("pod", _pods(), ids=["service", "migrate"])
def test_pods_run_with_the_least_rights(pod: Any) -> None:
    """Not root, read-only root, no capabilities, no token of the cluster, bounded memory."""
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], f"{context['runAsUser']}:{context['runAsGroup']}") == (True, "10001:10001")
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    inner = container["securityContext"]
    assert (inner["readOnlyRootFilesystem"], inner["allowPrivilegeEscalation"]) == (True, False)
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}


def test_probes_ask_paths_that_exist() -> None:
    """Liveness asks no dependency, readiness does."""
    paths = create_app(Settings(api_key="documents")).openapi()["paths"]
    (container,) = _one("Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert set(asked.values()) <= set(paths)
    assert (asked["livenessProbe"], asked["readinessProbe"]) == ("/health/live", "/health/ready")
    assert {container[name]["httpGet"]["port"] for name in asked} == {container["ports"][0]["name"]}
    assert f"PORT={container['ports'][0]['containerPort']}" in read("Dockerfile")


def test_the_platform_waits_longer_than_the_drain() -> None:
    """preStop and the drain fit into the grace period, with time to spare; the documents promise ten seconds."""
    pod = _one("Deployment")["spec"]["template"]["spec"]
    command, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert DRAIN_S + CLOSING_S <= 10
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + 10
    assert int(_compose()["services"]["ticker-service"]["stop_grace_period"].removesuffix("s")) > 10


def test_there_is_one_process_at_a_time() -> None:
    """One replica, never two during an update, and no eviction without the operator."""
    spec = _one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    budget = _one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 0
    labels = spec["template"]["metadata"]["labels"]
    selectors = [
        spec["selector"]["matchLabels"],
        budget["selector"]["matchLabels"],
        _one("Service")["spec"]["selector"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_the_network_policies_allow_only_named_traffic() -> None:
    """The first policy closes everything for both pods; the broker's lets no private or link-local address through."""
    policies = {one["metadata"]["name"]: one["spec"] for one in _manifests() if one["kind"] == "NetworkPolicy"}
    closed = policies["ticker-service-default-deny"]
    assert closed == {"podSelector": {"matchLabels": {NAME: "ticker-service"}}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = policies["ticker-service-broker"]["egress"]
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(
        rule["to"][0]["ipBlock"]["except"]
    )
    assert [port["port"] for port in rule["ports"]] == [443]


def test_images_carry_the_version_of_the_code() -> None:
    """A forgotten tag would deploy the release before."""
    assert _compose()["services"]["ticker-service"]["image"] == f"ticker-service:{__version__}"
    for path in ("k8s/base", "k8s/overlays/production"):
        (image,) = yaml.safe_load(read(f"{path}/kustomization.yaml"))["images"]
        assert image["newTag"] == __version__


def test_the_kustomization_lists_every_manifest_but_the_secret() -> None:
    """The example of a secret is never applied."""
    listed = yaml.safe_load(read("k8s/base/kustomization.yaml"))["resources"]
    there = {path.name for path in (ROOT / "k8s/base").glob("*.yaml")}
    assert set(listed) == there - {"kustomization.yaml", "secret.example.yaml"}


def test_every_setting_of_the_files_exists() -> None:
    """In compose, in the ConfigMap, in the overlay and in the image."""
    overlay = yaml.safe_load(read("k8s/overlays/production/kustomization.yaml"))["configMapGenerator"][0]["literals"]
    image = re.findall(r"\b([A-Z_]+)=", " ".join(_instructions("ENV")))
    names = {
        *_compose()["services"]["ticker-service"]["environment"],
        *_settings_env(),
        *(one.split("=")[0] for one in overlay),
        *image,
    }
    assert {name for name in names if not is_setting(name)} == {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


def test_secrets_that_are_mounted_are_those_that_are_read() -> None:
    """Each ``..._FILE`` has its file, in compose and in Kubernetes."""
    compose = _compose()
    service = compose["services"]["ticker-service"]
    files = {Path(value).name for name, value in service["environment"].items() if name.endswith("_FILE")}
    assert files == set(service["secrets"])
    assert set(compose["secrets"]) == {name for one in compose["services"].values() for name in one.get("secrets", [])}
    read_there = {Path(value).name for name, value in _settings_env().items() if name.endswith("_FILE")}
    assert read_there == set(_one("Secret")["stringData"])


@pytest.mark.parametrize("name", ["ticker-service", "migrate", "postgres", "redis"])
def test_containers_of_compose_are_confined_and_bounded(name: str) -> None:
    """Read-only, no capabilities, limits, a restart policy; a health check for what keeps running."""
    service = _compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert "healthcheck" in service or name == "ticker-service"  # its own is in the image
    assert service.get("ports", []) == (["127.0.0.1:8080:8080"] if name == "ticker-service" else [])


def test_compose_starts_in_order() -> None:
    """The schema before the service; the database and Redis only on the inner network."""
    compose = _compose()
    needs = compose["services"]["ticker-service"]["depends_on"]
    assert needs["migrate"] == {"condition": "service_completed_successfully"}
    assert compose["services"]["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert compose["networks"]["inside"] == {"internal": True}
    assert all(compose["services"][name]["networks"] == ["inside"] for name in ("postgres", "redis", "migrate"))


def test_logs_have_a_place_to_be_written_to() -> None:
    """The one directory that the service writes is a volume in both."""
    (log_dir,) = re.findall(r"LOG_DIR=(\S+)", read("Dockerfile"))
    mounts = _one("Deployment")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert log_dir in {mount["mountPath"] for mount in mounts}
    assert _compose()["services"]["ticker-service"]["volumes"] == [f"logs:{log_dir}"]


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("openssl")), reason="no bash or openssl here")
@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_settings_with_the_documents_secrets_start_in_production(where: str, tmp_path: Path) -> None:
    """The commands that make the secrets are run; what they made passes every check of a production start."""
    (script,) = [block for block in code_blocks(read("PRODUCTION_DEPLOYMENT.md"), "bash") if "openssl" in block]
    subprocess.run(["bash", "-eu"], input=script, cwd=tmp_path, text=True, check=True)  # noqa: S607
    given = _settings_env() if where == "kubernetes" else _compose()["services"]["ticker-service"]["environment"]
    environ = {
        name: re.sub(r"^/run/secrets/(ticker/)?", f"{tmp_path}/secrets/", value) for name, value in given.items()
    }
    if where == "kubernetes":  # its Redis is on another machine, as the document says
        url = (tmp_path / "secrets/redis_url").read_text().strip()
        (tmp_path / "secrets/redis_url").write_text(url.replace("redis://", "rediss://"))
    settings = load_settings(environ, env_file=None)
    assert settings.environment == "production"
    assert settings.token_key_bytes is not None
    assert "@postgres:5432/ticker" in settings.database_dsn
    assert settings.redis_url.get_secret_value().endswith("@redis:6379/0")
    password = (tmp_path / "secrets/redis_conf").read_text().split()[1]
    assert f":{password}@" in settings.redis_url.get_secret_value()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl to render with")
@pytest.mark.parametrize("path", ["k8s/base", "k8s/overlays/production"])
def test_kustomize_renders(path: str) -> None:
    """All kinds, the generated settings under one name everywhere, and no secret."""
    rendered = subprocess.run(  # noqa: S603
        ["kubectl", "kustomize", str(ROOT / path)],  # noqa: S607
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    documents = list(yaml.safe_load_all(rendered.stdout))
    kinds = {document["kind"] for document in documents}
    assert kinds == {"ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"}
    (name,) = [one["metadata"]["name"] for one in documents if one["kind"] == "ConfigMap"]
    assert rendered.stdout.count(f"name: {name}") == 3
