from pathlib import Path

import pytest

from fourfold.definition import DefinitionError, Deployment, SurfaceDeployment


def test_a_table_per_surface_and_defaults_for_the_others() -> None:
    deployment = Deployment.from_toml('[feed]\nmode = "online"\nbudget_ms = 100\nlog_impressions = false\n')
    assert deployment.of("feed") == SurfaceDeployment(mode="online", budget_ms=100, log_impressions=False)
    assert deployment.of("pymk") == SurfaceDeployment()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[feed", r"^deployment: not valid TOML"),
        ("[feed]\nbudget_ms = 0", r"^deployment\.feed\.budget_ms: .*write a number at least 1"),
        ("[feed]\nbudget_ms = 60001", r"^deployment\.feed\.budget_ms: .*write a number at most 60000"),
        ('[feed]\nfallback = ["hope"]', r"^deployment\.feed\.fallback\[0\]: .*'early_ranker', 'last_slate' or 'trending'"),
        ("[feed]\nbudgetms = 1", r"^deployment\.feed\.budgetms: .*check the spelling"),
        ('[feed]\nmode = "live"', r"^deployment\.feed\.mode: .*write 'offline', 'nearline', 'online' or 'remote'"),
        ("[Feed]", r"^deployment\.Feed"),
        ("feed = 1", r"^deployment\.feed: "),
    ],
)
def test_a_wrong_deployment_names_the_key(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Deployment.from_toml(text)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "deployment.toml"
    assert Deployment.from_file(path) == Deployment()
    path.write_text("[feed]\nbudget_ms = 7\n")
    assert Deployment.from_file(path).of("feed").budget_ms == 7
    path.write_text("[feed]\nbudget_ms = 'x'\n")
    with pytest.raises(DefinitionError, match=r"deployment\.toml\.feed\.budget_ms"):
        Deployment.from_file(path)
