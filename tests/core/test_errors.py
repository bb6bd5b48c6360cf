from src.core import errors


def test_each_class_has_its_own_place_in_the_contract():
    codes = {name: cls.exit_code for name, cls in vars(errors).items() if isinstance(cls, type)}
    assert codes == {
        "NewsreelError": 1, "BadInputError": 2, "MissingFileError": 2, "SwitchError": 2,
        "MissingWeightsError": 3, "OutOfMemoryError": 4,
        "LostProcessError": 4, "PartialFailureError": 5, "OutputError": 6,
        "DivergedError": 7, "NotFiniteError": 7, "CancelledError": 130,
    }  # fmt: skip
    assert all(name in errors.__doc__ for name in codes)
