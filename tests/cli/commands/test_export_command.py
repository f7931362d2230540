"""`export`: lines that `import` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, lines


@pytest.mark.slow
def test_import_takes_what_export_writes(ask: Cli, tmp_path: Path) -> None:
    for number in range(3):
        ask("apply", f"many/x/{number}", f"n:int={number}", "e:int[]=", "z:binary=AP8=")
    ask("delete", "many/x/1")
    live = ask("export", "many")
    assert [record["id"] for record in lines(live)] == ["0", "2"]
    assert "exported 2 records of many" in live.err
    everything = ask("export", "many", "--tombstones")
    assert len(lines(everything)) == 3
    (tmp_path / "all").write_text(everything.out)
    (result,) = lines(ask("import", "many", str(tmp_path / "all"), "--keep-versions", "-o", "json"))
    assert list(result) == ["group", "records", "skipped", "seconds"]
    assert (result["group"], result["records"], result["skipped"]) == ("many", 3, 0)
    assert ask("export", "many", "--tombstones").out == everything.out
    refused = ask("import", "many", str(tmp_path / "all"))
    assert refused.code == 1
    assert "line 2: a deleted record" in refused.problem
    other = ask("import", "sw", str(tmp_path / "all"))
    assert other.code == 1
    assert "line 1: belongs to group 'many', not to 'sw'" in other.problem
