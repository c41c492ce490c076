from __future__ import annotations

import pycountry
import pytest

from data.blocks.block import fetch
from data.countries import country_name, iso3


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NOR", "NOR"), ("no", "NOR"), ("Norway", "NOR"), ("norway ", "NOR"),
        ("USA", "USA"), ("U.S.", "USA"), ("US", "USA"), ("United States", "USA"), ("the United States", "USA"),
        ("Britain", "GBR"), ("Great Britain", "GBR"), ("UK", "GBR"), ("N. Ireland", "GBR"), ("Ireland", "IRL"),
        ("Germany (W.)", "DEU"), ("Germany (E.)", "DEU"), ("Vietnam", "VNM"), ("Viet Nam", "VNM"),
        ("South Korea", "KOR"), ("S. Korea", "KOR"), ("North Korea", "PRK"), ("Taiwan", "TWN"), ("Bosnia", "BIH"),
        ("Czech", "CZE"), ("Czech Rep.", "CZE"), ("Czechia", "CZE"), ("Macedonia", "MKD"), ("Palestine", "PSE"),
        ("Dominican Rep", "DOM"), ("Türkiye", "TUR"), ("Turkey", "TUR"), ("Côte d’Ivoire", "CIV"), ("Kosovo", "XKX"),
        ("Niger", "NER"), ("Nigeria", "NGA"), ("Hong Kong SAR", "HKG"), ("Tanzania", "TZA"), ("Iran", "IRN"),
    ],
)  # fmt: skip
def test_iso3_knows_what_surveys_write(name: str, code: str) -> None:
    assert iso3(name) == code


@pytest.mark.parametrize("name", ["Norwya", "", "Atlantis", "XX", "ZZZ"])
def test_an_unknown_country_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown country {name!r}"):
        iso3(name)


def test_an_unknown_country_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean Norway"):
        iso3("Norwya")


def test_every_iso_country_has_a_short_name_that_reads_back() -> None:
    codes = [country.alpha_3 for country in pycountry.countries] + ["XKX"]
    names = [country_name(code) for code in codes]
    assert [iso3(name) for name in names] == codes
    assert len(set(names)) == len(names)
    assert not [name for name in names if "," in name or "(" in name]


def test_country_name_refuses_what_is_no_code() -> None:
    assert country_name("KOR") == "South Korea"
    assert country_name("USA") == "United States"
    for wrong in ("Norway", "ZZZ", "nor"):
        with pytest.raises(ValueError, match=wrong):
            country_name(wrong)


def test_every_country_name_of_every_block_is_mapped() -> None:
    """Names that differ between blocks meet in one code; no two names of one block share one, but for two parts."""
    bribe = fetch("stevedata", "wvs_justifbribe")["country"].dropna().unique().tolist()
    immigration = fetch("stevedata", "wvs_immig")["country"].dropna().unique().tolist()
    inglehart = [name.rpartition(" ")[0] for name in fetch("stevedata", "inglehart03")["state_year"]]
    wave_3 = fetch("carData", "WVS")["country"].unique().tolist()
    for names, countries in ((bribe, 97), (immigration, 97), (inglehart, 75), (wave_3, 4)):
        assert len({iso3(name) for name in names}) == countries
    assert {iso3(name) for name in wave_3} <= {iso3(name) for name in bribe} & {iso3(name) for name in inglehart}
