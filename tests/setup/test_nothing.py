def test_the_setup_works() -> None:
    assert True
