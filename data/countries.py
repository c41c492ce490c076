"""Country names of many surveys to ISO 3166-1 alpha-3 codes, and codes to short English names.

`iso3("Germany (W.)") == "DEU"`, `country_name("KOR") == "South Korea"`. pycountry knows the standard; what surveys and
people write instead is in `_ALIASES`. A part of a country (East Germany, Northern Ireland) maps to the country: a
survey that lists parts beside the whole must choose among them itself (see `data.blocks.wvs`).
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import cache

import pycountry

_SHORT = {
    "BIH": "Bosnia and Herzegovina", "BOL": "Bolivia", "BRN": "Brunei", "CCK": "Cocos Islands", "CIV": "Ivory Coast",
    "COD": "DR Congo", "COG": "Republic of the Congo", "CPV": "Cape Verde", "CZE": "Czech Republic",
    "FLK": "Falkland Islands", "FSM": "Micronesia", "GBR": "United Kingdom", "HKG": "Hong Kong", "IRN": "Iran",
    "KOR": "South Korea", "LAO": "Laos", "MAC": "Macao", "MAF": "Saint-Martin", "MDA": "Moldova",
    "MKD": "North Macedonia", "PRK": "North Korea", "PSE": "Palestine", "RUS": "Russia", "SWZ": "Eswatini",
    "SXM": "Sint Maarten", "SYR": "Syria", "TLS": "East Timor", "TUR": "Turkey", "TWN": "Taiwan", "TZA": "Tanzania",
    "USA": "United States", "VAT": "Vatican City", "VEN": "Venezuela", "VGB": "British Virgin Islands",
    "VIR": "US Virgin Islands", "VNM": "Vietnam", "XKX": "Kosovo",
}  # fmt: skip

_ALIASES = {
    "America": "USA", "U.S.": "USA", "U.S.A.": "USA", "United States of America": "USA", "the States": "USA",
    "Britain": "GBR", "Great Britain": "GBR", "UK": "GBR", "U.K.": "GBR", "England": "GBR", "Scotland": "GBR",
    "Wales": "GBR", "Northern Ireland": "GBR", "N. Ireland": "GBR",
    "East Germany": "DEU", "Germany (E.)": "DEU", "Germany (W.)": "DEU", "West Germany": "DEU", "Germany East": "DEU",
    "Germany West": "DEU",
    "Korea": "KOR", "Republic of Korea": "KOR", "S. Korea": "KOR", "N. Korea": "PRK",
    "Bosnia": "BIH", "Bosnia & Herzegovina": "BIH", "Bosnia Herzegovina": "BIH", "Bosnia-Herzegovina": "BIH",
    "Czech": "CZE", "Czech Rep.": "CZE", "Czechia": "CZE", "Dominican Rep.": "DOM", "Macedonia": "MKD",
    "FYR Macedonia": "MKD", "Slovak Republic": "SVK", "Serbia and Montenegro": "SRB", "Russian Federation": "RUS",
    "Viet Nam": "VNM", "Taiwan ROC": "TWN", "Taiwan, China": "TWN", "Hong Kong SAR": "HKG", "Macau": "MAC",
    "Macau SAR": "MAC", "Palestinian Territories": "PSE", "Palest. ter.": "PSE", "Palestinian territories": "PSE",
    "State of Palestine": "PSE", "Kosovo": "XKX", "Türkiye": "TUR", "Burma": "MMR", "Swaziland": "SWZ",
    "Trinidad": "TTO", "UAE": "ARE", "Congo (Kinshasa)": "COD", "Democratic Republic of the Congo": "COD",
    "Congo (Brazzaville)": "COG", "Congo": "COG", "Cote d'Ivoire": "CIV", "Holland": "NLD", "The Gambia": "GMB",
}  # fmt: skip


def iso3(name: str) -> str:
    """ISO 3166-1 alpha-3 code of a country given by name, alias, alpha-2 or alpha-3 code; case is ignored.

    Kosovo has no ISO code and gets the user-assigned `"XKX"`. Raises ValueError with the nearest names otherwise.
    """
    codes = _codes()
    key = _key(name)
    if key not in codes:
        nearest = [_names()[match] for match in difflib.get_close_matches(key, _names(), n=3)]
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(
            f"unknown country {name!r}: expected an English name or an ISO 3166 code such as NOR, NO or Norway{hint}"
        )
    return codes[key]


def country_name(code: str) -> str:
    """Short English name of an alpha-3 code: `"South Korea"`, `"United States"`. Raises ValueError on another code."""
    if code in _SHORT:
        return _SHORT[code]
    country = pycountry.countries.get(alpha_3=code) if re.fullmatch("[A-Z]{3}", code) else None
    if country is None:
        raise ValueError(f"unknown country code {code!r}: expected ISO 3166-1 alpha-3 such as NOR")
    return str(getattr(country, "common_name", country.name)).split(",")[0]


def _key(name: str) -> str:
    """Case, accents, dots, a leading article and surplus space do not tell countries apart."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"^the ", "", " ".join(plain.replace(".", "").replace("’", "'").casefold().split()))


@cache
def _codes() -> dict[str, str]:
    codes = {}
    for country in pycountry.countries:
        for field in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            if value := getattr(country, field, None):
                codes[_key(value)] = country.alpha_3
    codes |= {_key(country_name(code)): code for code in [*codes.values(), "XKX"]}
    return codes | {"xkx": "XKX"} | {_key(name): code for name, code in _ALIASES.items()}


@cache
def _names() -> dict[str, str]:
    """Key → the name to suggest; codes are left out, since every short word is near to one of them."""
    return {key: country_name(code) for key, code in _codes().items() if len(key) > 3}
