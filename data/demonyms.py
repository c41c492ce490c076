"""Which country's people an English adjective or noun names: `nationality("Norwegian") == ("NOR",)`.

Only words that name people of a country: ethnic groups, religions and continents are not among them, and languages only
where the same word names the people. Words of two countries (Congolese) name both.
"""

from __future__ import annotations

_WORDS = """
AFG Afghan; AGO Angolan; ALB Albanian; AND Andorran; ARE Emirati; ARG Argentine Argentinian; ARM Armenian;
AUS Australian Aussie; AUT Austrian; AZE Azerbaijani; BEL Belgian; BFA Burkinabe; BGD Bangladeshi; BGR Bulgarian;
BIH Bosnian; BLR Belarusian; BOL Bolivian; BRA Brazilian; BWA Botswanan; CAN Canadian; CHE Swiss; CHL Chilean;
CHN Chinese; CIV Ivorian; CMR Cameroonian; COD Congolese; COG Congolese; COL Colombian; CRI Costa-Rican; CUB Cuban;
CYP Cypriot; CZE Czech; DEU German; DNK Danish Dane; DOM Dominican; DMA Dominican; DZA Algerian; ECU Ecuadorian;
EGY Egyptian; ESP Spanish Spaniard; EST Estonian; ETH Ethiopian; FIN Finnish Finn; FRA French Frenchman Frenchwoman;
GBR British Briton English Englishman Englishwoman Scottish Welsh Scot; GEO Georgian; GHA Ghanaian; GRC Greek;
GTM Guatemalan; HKG Hongkonger; HND Honduran; HRV Croatian Croat; HTI Haitian; HUN Hungarian; IDN Indonesian;
IND Indian; IRL Irish Irishman Irishwoman;
IRN Iranian; IRQ Iraqi; ISL Icelandic Icelander; ISR Israeli; ITA Italian; JAM Jamaican;
JOR Jordanian; JPN Japanese; KAZ Kazakhstani; KEN Kenyan; KGZ Kyrgyzstani; KHM Cambodian; KOR Korean; PRK Korean;
KWT Kuwaiti; LAO Laotian; LBN Lebanese; LBY Libyan; LKA Sri-Lankan; LTU Lithuanian; LUX Luxembourger; LVA Latvian;
MAR Moroccan; MDA Moldovan; MDG Malagasy; MEX Mexican; MKD Macedonian; MLI Malian; MLT Maltese; MMR Burmese;
MNE Montenegrin; MNG Mongolian; MYS Malaysian; NGA Nigerian; NIC Nicaraguan; NLD Dutch Dutchman Dutchwoman;
NOR Norwegian; NPL Nepali Nepalese; NZL Kiwi; PAK Pakistani; PAN Panamanian; PER Peruvian; PHL Filipino Filipina;
POL Polish Pole; PRI Puerto-Rican; PRT Portuguese; PRY Paraguayan; PSE Palestinian; QAT Qatari; ROU Romanian;
RUS Russian; RWA Rwandan; SAU Saudi; SDN Sudanese; SEN Senegalese; SGP Singaporean; SLV Salvadoran; SRB Serbian Serb;
SVK Slovak Slovakian; SVN Slovenian Slovene; SWE Swedish Swede; SYR Syrian; THA Thai; TJK Tajikistani; TTO Trinidadian;
TUN Tunisian; TUR Turkish; TWN Taiwanese; TZA Tanzanian; UGA Ugandan; UKR Ukrainian; URY Uruguayan; USA American;
UZB Uzbekistani; VEN Venezuelan; VNM Vietnamese; YEM Yemeni; ZAF South-African; ZMB Zambian; ZWE Zimbabwean
"""


def _read() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for entry in _WORDS.split(";"):
        code, *words = entry.split()
        for word in words:
            key = word.replace("-", " ").casefold()
            found[key] = (*found.get(key, ()), code)
    return found


NATIONALITIES = _read()
"""Word in lower case → ISO 3166 alpha-3 codes of the countries whose people it names."""


def nationality(word: str) -> tuple[str, ...]:
    """The countries whose people `word` names, singular or plural, any case; () where it names none."""
    key = " ".join(word.casefold().split())
    return NATIONALITIES.get(key) or NATIONALITIES.get(key.removesuffix("s")) or ()
