"""Uses that a person asks for, and licences that do not grant them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from headstart import api, job, permission
from headstart.cli import _options as options
from headstart.core.plan import Plan
from headstart.errors import PlanError
from headstart.modalities.image import tiny
from headstart.providers.timm import rebuilder

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny pictures and a small network's weights."""
    place = tmp_path_factory.mktemp("permission")
    save_file(rebuilder(NAME, {"num_classes": 0})(0).state_dict(), place / "net.safetensors")
    tiny.write(place / "photos", "classify", 24, 0)
    return place


def planned(home: Path, licence: str | None, *uses: str, data_licence: str = "own") -> Plan:
    card = {"architecture": NAME, "num_classes": 0, "input_size": [3, 32, 32]}
    card |= {"licence": licence} if licence else {}
    (home / "net.json").write_text(json.dumps(card), "utf-8")
    given = {
        "source": f"file:{home / 'net.safetensors'}",
        "for_": list(uses),
        "data_licence": data_licence,
        "store": "memory",
    }
    return options.plan(str(home / "photos"), given, [])


@pytest.mark.parametrize(
    ("licence", "use", "told"),
    [
        (
            "CC-BY-NC-4.0",
            "commercial",
            "forbidden: 'weights net.safetensors' is under CC-BY-NC-4.0",
        ),
        (None, "commercial", "not granted: nobody says .* 'weights net.safetensors'"),
        (None, "modify", "not granted"),
        ("MIT", "comercial", "Did you mean 'commercial'"),
    ],
)
def test_what_is_not_granted_is_refused_with_the_link_that_decides(
    licence: str | None, use: str, told: str, home: Path
) -> None:
    with pytest.raises(PlanError, match=told):
        api.dry_run(planned(home, licence, use))


def test_what_is_granted_or_not_settled_is_told(home: Path) -> None:
    notes = api.dry_run(planned(home, "MIT", "commercial"))["notes"]
    assert any("not settled: nobody says" in n and "'data of net" in n for n in notes)
    notes = api.dry_run(planned(home, "CC-BY-NC-4.0", "share"))["notes"]
    assert not any("forbidden" in n for n in notes), "a head names its base and does not carry it"
    assert not any("--for" in n for n in api.dry_run(planned(home, None))["notes"]), "not asked"


def test_a_card_beside_the_data_is_part_of_the_chain(home: Path) -> None:
    front = "---\nlicense: cc-by-nc-4.0\n---\n"
    (home / "photos" / "README.md").write_text(front, "utf-8")
    plan = planned(home, "MIT", "commercial", data_licence="")
    made = job.open_job(plan, keep=False)
    chain = {link["what"]: link for link in permission.licences(made, changed=False)}
    (home / "photos" / "README.md").unlink()
    assert chain["data of the task"]["licence"] == "cc-by-nc-4.0"
