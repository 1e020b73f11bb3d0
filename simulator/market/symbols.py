"""What the exchanges list: well-known symbols with their real tokens and rough prices, and which have derivatives.

Prices only have to be plausible. The tokens of well-known names are the real ones, because programs have them as
constants (408065 is INFY). The other equities are invented, and named so (`SYN001`).
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class IndexListing:
    """`exchange_token` is the instrument token shifted right by 8 bits."""

    exchange: str
    tradingsymbol: str
    exchange_token: int
    price: float
    volatility: float = 0.13


@dataclass(frozen=True, slots=True)
class Product:
    """An index or stock with derivatives: the name in its contracts' symbols, and the spot that they follow."""

    name: str
    spot: str
    lot_size: int
    strike_step: Decimal
    freeze_quantity: int


@dataclass(frozen=True, slots=True)
class CommodityProduct:
    """A commodity or currency pair. It has no spot instrument, so its price and volatility are here."""

    name: str
    lot_size: int
    tick_size: Decimal
    price: float
    volatility: float
    expiry_day: int
    strike_step: Decimal | None = None


INDICES = (
    IndexListing("NSE", "NIFTY 50", 1001, 24_500.0),
    IndexListing("NSE", "NIFTY BANK", 1016, 55_200.0, 0.15),
    IndexListing("BSE", "SENSEX", 1, 80_400.0),
    IndexListing("NSE", "NIFTY FIN SERVICE", 1007, 26_100.0, 0.14),
    IndexListing("NSE", "NIFTY IT", 1015, 37_900.0, 0.20),
    IndexListing("NSE", "NIFTY 100", 1018, 25_200.0),
    IndexListing("NSE", "INDIA VIX", 1035, 13.2, 0.9),
    IndexListing("NSE", "NIFTY 500", 1047, 22_600.0),
    IndexListing("NSE", "NIFTY NEXT 50", 1058, 67_800.0, 0.17),
    IndexListing("NSE", "NIFTY MID SELECT", 1125, 12_900.0, 0.17),
    IndexListing("BSE", "BANKEX", 1072, 61_700.0, 0.15),
)

INDEX_PRODUCTS = (
    Product("NIFTY", "NIFTY 50", 75, Decimal(50), 1_800),
    Product("BANKNIFTY", "NIFTY BANK", 35, Decimal(100), 600),
    Product("SENSEX", "SENSEX", 20, Decimal(100), 1_000),
)

# NSE symbol, NSE exchange token, price in rupees, BSE scrip code (0: not listed there), name
_EQUITY_TABLE = """
RELIANCE 2885 1420 500325 RELIANCE INDUSTRIES
TCS 11536 3080 532540 TATA CONSULTANCY SERV LT
INFY 1594 1500 500209 INFOSYS
HDFCBANK 1333 990 500180 HDFC BANK
ICICIBANK 4963 1390 532174 ICICI BANK
SBIN 3045 860 500112 STATE BANK OF INDIA
M&M 2031 3480 500520 MAHINDRA & MAHINDRA
ITC 1660 405 500875 ITC
AXISBANK 5900 1180 532215 AXIS BANK
KOTAKBANK 1922 2120 500247 KOTAK MAHINDRA BANK
LT 11483 3720 500510 LARSEN & TOUBRO
HINDUNILVR 1394 2510 500696 HINDUSTAN UNILEVER
BHARTIARTL 10604 1960 532454 BHARTI AIRTEL
MARUTI 10999 15900 532500 MARUTI SUZUKI INDIA
ASIANPAINT 236 2420 500820 ASIAN PAINTS
WIPRO 3787 244 507685 WIPRO
TATASTEEL 3499 172 500470 TATA STEEL
TATAMOTORS 3456 690 500570 TATA MOTORS
SUNPHARMA 3351 1640 524715 SUN PHARMACEUTICAL IND L
BAJFINANCE 317 1010 500034 BAJAJ FINANCE
HCLTECH 7229 1480 532281 HCL TECHNOLOGIES
NTPC 11630 338 532555 NTPC
POWERGRID 14977 287 532898 POWER GRID CORP
ONGC 2475 242 500312 OIL AND NATURAL GAS CORP
COALINDIA 20374 392 533278 COAL INDIA
ADANIENT 25 2540 512599 ADANI ENTERPRISES
ADANIPORTS 15083 1410 532921 ADANI PORT & SEZ
TITAN 3506 3420 500114 TITAN COMPANY
ULTRACEMCO 11532 12250 532538 ULTRATECH CEMENT
NESTLEIND 17963 1190 500790 NESTLE INDIA
JSWSTEEL 11723 1140 500228 JSW STEEL
HINDALCO 1363 765 500440 HINDALCO INDUSTRIES
GRASIM 1232 2790 500300 GRASIM INDUSTRIES
CIPLA 694 1510 500087 CIPLA
DRREDDY 881 1250 500124 DR. REDDY S LABORATORIES
BPCL 526 335 500547 BHARAT PETROLEUM CORP LT
IOC 1624 148 530965 INDIAN OIL CORP
GAIL 4717 178 532155 GAIL (INDIA)
VEDL 3063 465 500295 VEDANTA
TECHM 13538 1440 532755 TECH MAHINDRA
INDUSINDBK 5258 770 532187 INDUSIND BANK
BAJAJ-AUTO 16669 9020 532977 BAJAJ AUTO
BAJAJFINSV 16675 2060 532978 BAJAJ FINSERV
BRITANNIA 547 5940 500825 BRITANNIA INDUSTRIES
EICHERMOT 910 6950 505200 EICHER MOTORS
HEROMOTOCO 1348 5440 500182 HERO MOTOCORP
DIVISLAB 10940 6080 532488 DIVI S LABORATORIES
APOLLOHOSP 157 7720 508869 APOLLO HOSPITALS ENTER. L
SBILIFE 21808 1820 540719 SBI LIFE INSURANCE CO
HDFCLIFE 467 765 540777 HDFC LIFE INS CO
TATACONSUM 3432 1110 500800 TATA CONSUMER PRODUCT
BEL 383 405 500049 BHARAT ELECTRONICS
TRENT 1964 4780 500251 TRENT
SHRIRAMFIN 4306 625 511218 SHRIRAM FINANCE
PNB 10666 113 532461 PUNJAB NATIONAL BANK
BANKBARODA 4668 262 532134 BANK OF BARODA
YESBANK 11915 21.5 532648 YES BANK
IDEA 14366 8.4 532822 VODAFONE IDEA
ETERNAL 5097 335 543320 ETERNAL
JIOFIN 18143 306 543940 JIO FIN SERVICES
CENTRALBK 14894 38 532885 CENTRAL BANK OF INDIA
"""


@dataclass(frozen=True, slots=True)
class EquityListing:
    """A share on NSE and BSE. `nse_token` and `bse_code` are its exchange tokens there."""

    tradingsymbol: str
    nse_token: int
    price: float
    bse_code: int
    name: str
    volatility: float = 0.27


def real_equities() -> tuple[EquityListing, ...]:
    """The well-known names, the most traded ones first."""
    listings = []
    for line in _EQUITY_TABLE.strip().splitlines():
        symbol, token, price, code, name = line.split(maxsplit=4)
        listings.append(EquityListing(symbol, int(token), float(price), int(code), name))
    return tuple(listings)


SYNTHETIC_EQUITIES = 440
UNTRADED_EQUITIES = 5  # the last of the synthetic ones: listed, and never traded


def synthetic_equities() -> tuple[EquityListing, ...]:
    """SYN001, SYN002, ... with prices from 12 to about 4,000 rupees, and tokens above all real ones."""
    return tuple(
        EquityListing(
            tradingsymbol=f"SYN{number:03d}",
            nse_token=30_000 + number,
            price=float(12 + number * 7_919 % 4_001),
            bse_code=590_000 + number,
            name=f"SYNTHETIC COMPANY {number}",
            volatility=0.25 + number % 5 * 0.05,
        )
        for number in range(1, SYNTHETIC_EQUITIES + 1)
    )


STOCKS_WITH_DERIVATIVES = 30  # the first of real_equities()

COMMODITIES = (
    CommodityProduct("GOLD", 1, Decimal(1), 121_500.0, 0.14, 5),
    CommodityProduct("GOLDM", 1, Decimal(1), 120_900.0, 0.14, 5, Decimal(1_000)),
    CommodityProduct("SILVER", 1, Decimal(1), 148_300.0, 0.24, 5),
    CommodityProduct("SILVERM", 1, Decimal(1), 148_100.0, 0.24, 28, Decimal(1_000)),
    CommodityProduct("CRUDEOIL", 1, Decimal(1), 5_420.0, 0.33, 19, Decimal(50)),
    CommodityProduct("CRUDEOILM", 1, Decimal(1), 5_420.0, 0.33, 19),
    CommodityProduct("NATURALGAS", 1, Decimal("0.1"), 268.0, 0.55, 26, Decimal(5)),
    CommodityProduct("COPPER", 1, Decimal("0.05"), 955.0, 0.2, 30),
    CommodityProduct("ZINC", 1, Decimal("0.05"), 292.0, 0.2, 30),
    CommodityProduct("ALUMINIUM", 1, Decimal("0.05"), 262.0, 0.18, 30),
    CommodityProduct("LEAD", 1, Decimal("0.05"), 182.0, 0.15, 30),
    CommodityProduct("MENTHAOIL", 1, Decimal("0.1"), 938.0, 0.2, 30),
    CommodityProduct("COTTONCNDY", 1, Decimal(10), 54_600.0, 0.15, 30),
    CommodityProduct("CARDAMOM", 1, Decimal("0.5"), 2_640.0, 0.25, 15),
)

COMMODITIES_OF_NSE = (
    CommodityProduct("CRUDEOILM", 1, Decimal(1), 5_420.0, 0.33, 19, Decimal(50)),
    CommodityProduct("NATGASMINI", 1, Decimal("0.1"), 268.0, 0.55, 26),
    CommodityProduct("SILVER100", 1, Decimal(1), 14_830.0, 0.24, 28),
    CommodityProduct("ALUMINI", 1, Decimal("0.05"), 262.0, 0.18, 30),
)
"""They trade on NCO, where prices of ticks have four decimals."""

CURRENCIES = (
    CommodityProduct("USDINR", 1, Decimal("0.0025"), 88.20, 0.03, 31, Decimal("0.25")),
    CommodityProduct("EURINR", 1, Decimal("0.0025"), 102.60, 0.07, 31),
    CommodityProduct("GBPINR", 1, Decimal("0.0025"), 117.90, 0.08, 31),
    CommodityProduct("JPYINR", 1, Decimal("0.0025"), 58.40, 0.09, 31),
)
