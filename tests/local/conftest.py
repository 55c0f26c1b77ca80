"""A /var/tmp of its own for each test, because a test must never remove the data of a hub on this machine."""

from pathlib import Path

import pytest

from hub.local import server_data


@pytest.fixture
def var_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "var-tmp"
    folder.mkdir()
    monkeypatch.setattr(server_data, "VAR_TMP", folder)
    (tmp_path / server_data.TEMPORARY).touch()  # each STATE in tmp_path is temporary, wherever pytest makes tmp_path
    return folder
