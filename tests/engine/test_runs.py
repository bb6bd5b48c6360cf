from src.engine.runs import _line, _set_aside_older


def test_a_file_with_other_columns_is_set_aside(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("old,columns\n1,2\n")
    _set_aside_older(path)
    assert not path.exists()
    assert (tmp_path / "runs.1.csv").read_text("utf-8") == "old,columns\n1,2\n"


def test_a_comma_in_a_value_is_quoted():
    assert _line(("a,b", 1)) == '"a,b",1\n'
