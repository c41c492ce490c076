"""Real places for simulated participants: a large city and a smaller place of a country, by ISO 3166 alpha-3 code.

Countries that are not here take part as a whole, without a place.
"""

from __future__ import annotations

PLACES = {
    "ALB": ("Tirana", "Korçë"), "AND": ("Andorra la Vella", "Canillo"), "ARG": ("Buenos Aires", "Salta"),
    "ARM": ("Yerevan", "Gyumri"), "AUS": ("Sydney", "Dubbo"), "AUT": ("Vienna", "Steyr"), "AZE": ("Baku", "Shaki"),
    "BEL": ("Brussels", "Hasselt"), "BFA": ("Ouagadougou", "Banfora"), "BGD": ("Dhaka", "Bogura"),
    "BGR": ("Sofia", "Pleven"), "BIH": ("Sarajevo", "Bihać"), "BLR": ("Minsk", "Pinsk"),
    "BRA": ("São Paulo", "Caruaru"), "CAN": ("Toronto", "Red Deer"), "CHE": ("Zurich", "Chur"),
    "CHL": ("Santiago", "Osorno"), "CHN": ("Shanghai", "Baoji"), "COL": ("Bogotá", "Pasto"),
    "CYP": ("Nicosia", "Paphos"), "CZE": ("Prague", "Zlín"), "DEU": ("Berlin", "Siegen"),
    "DNK": ("Copenhagen", "Viborg"), "DOM": ("Santo Domingo", "Moca"), "DZA": ("Algiers", "Biskra"),
    "ECU": ("Quito", "Loja"), "EGY": ("Cairo", "Minya"), "ESP": ("Madrid", "Lugo"), "EST": ("Tallinn", "Rakvere"),
    "ETH": ("Addis Ababa", "Jimma"), "FIN": ("Helsinki", "Kuopio"), "FRA": ("Paris", "Limoges"),
    "GBR": ("London", "Carlisle"), "GEO": ("Tbilisi", "Gori"), "GHA": ("Accra", "Ho"), "GRC": ("Athens", "Trikala"),
    "GTM": ("Guatemala City", "Cobán"), "HRV": ("Zagreb", "Sisak"), "HTI": ("Port-au-Prince", "Jacmel"),
    "HUN": ("Budapest", "Eger"), "IDN": ("Jakarta", "Kediri"), "IND": ("Mumbai", "Ujjain"),
    "IRL": ("Dublin", "Sligo"), "IRN": ("Tehran", "Zanjan"), "IRQ": ("Baghdad", "Samawah"),
    "ISL": ("Reykjavik", "Akureyri"), "ISR": ("Tel Aviv", "Afula"), "ITA": ("Rome", "Cuneo"),
    "JOR": ("Amman", "Karak"), "JPN": ("Tokyo", "Tottori"), "KAZ": ("Almaty", "Taraz"), "KEN": ("Nairobi", "Nyeri"),
    "KGZ": ("Bishkek", "Naryn"), "KOR": ("Seoul", "Andong"), "KWT": ("Kuwait City", "Jahra"),
    "LBN": ("Beirut", "Zahlé"), "LBY": ("Tripoli", "Sabha"), "LTU": ("Vilnius", "Alytus"),
    "LUX": ("Esch-sur-Alzette", "Vianden"), "LVA": ("Riga", "Cēsis"), "MAR": ("Casablanca", "Taza"),
    "MDA": ("Chișinău", "Soroca"), "MEX": ("Mexico City", "Tepic"), "MKD": ("Skopje", "Štip"),
    "MLI": ("Bamako", "Ségou"), "MLT": ("Valletta", "Mosta"), "MMR": ("Yangon", "Pathein"),
    "MNE": ("Podgorica", "Nikšić"), "MYS": ("Kuala Lumpur", "Taiping"), "NGA": ("Lagos", "Lokoja"),
    "NIC": ("Managua", "Estelí"), "NLD": ("Amsterdam", "Zwolle"), "NOR": ("Oslo", "Hamar"),
    "NZL": ("Auckland", "Timaru"), "PAK": ("Karachi", "Sahiwal"), "PER": ("Lima", "Huaraz"),
    "PHL": ("Manila", "Tuguegarao"), "POL": ("Warsaw", "Tarnów"), "PRI": ("San Juan", "Mayagüez"),
    "PRT": ("Lisbon", "Viseu"), "ROU": ("Bucharest", "Bistrița"), "RUS": ("Moscow", "Tambov"),
    "RWA": ("Kigali", "Huye"), "SAU": ("Riyadh", "Tabuk"), "SLV": ("San Salvador", "Metapán"),
    "SRB": ("Belgrade", "Užice"), "SVK": ("Bratislava", "Martin"), "SVN": ("Ljubljana", "Ptuj"),
    "SWE": ("Stockholm", "Falun"), "THA": ("Bangkok", "Nan"), "TJK": ("Dushanbe", "Kulob"),
    "TTO": ("Port of Spain", "Arima"), "TUN": ("Tunis", "Gafsa"), "TUR": ("Istanbul", "Tokat"),
    "TWN": ("Taipei", "Hualien"), "TZA": ("Dar es Salaam", "Iringa"), "UGA": ("Kampala", "Mbale"),
    "UKR": ("Kyiv", "Poltava"), "URY": ("Montevideo", "Salto"), "USA": ("Chicago", "Billings"),
    "UZB": ("Tashkent", "Termez"), "VEN": ("Caracas", "Trujillo"), "VNM": ("Hanoi", "Vinh"), "YEM": ("Sanaa", "Ibb"),
    "ZAF": ("Johannesburg", "Upington"), "ZMB": ("Lusaka", "Mongu"), "ZWE": ("Harare", "Gweru"),
}  # fmt: skip
