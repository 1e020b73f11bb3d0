"""Price paths as pure functions of seed and time: the same seed gives the same price at the same moment.

A spot follows self-similar noise: a sum of linear noises whose amplitudes grow with the square root of their periods,
as those of a random walk do. Futures add the cost of carry, options are priced by Black and Scholes. Because a price
depends on nothing but seed and time, candles of any past day agree with each other and with the present price.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time

import numpy as np
import numpy.typing as npt

from simulator.clock import IST
from simulator.market.instrument import Instrument
from simulator.market.universe import Spot

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

YEAR_S = 365 * 86_400.0
RATE = 0.065
_DAY_S = 86_400.0
_PERIODS_S = np.array([400 * _DAY_S / 4**octave for octave in range(13)])  # 400 days down to 2 seconds
_AMPLITUDES = 0.8 * np.sqrt(_PERIODS_S / YEAR_S)
_SPOT, _FUTURE, _CALL, _PUT = range(4)
_KINDS = {"EQ": _SPOT, "FUT": _FUTURE, "CE": _CALL, "PE": _PUT}


def hash_values(values: Hashes) -> Hashes:
    """A well-mixed 64-bit number for each value (the finalizer of SplitMix64)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def name_key(seed: int, name: str) -> int:
    """A 64-bit key of a name and a seed, the same in every process."""
    return (zlib.crc32(name.encode()) << 32 | zlib.crc32(f"{seed}/{name}".encode())) ^ (seed & 0xFFFFFFFF)


def unit_noise(keys: Hashes, lattice: Ints) -> Floats:
    """A number in [-1, 1) for each key and lattice point, by broadcasting."""
    mixed = hash_values(keys ^ hash_values(lattice.astype(np.uint64)))
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0)


def path_noise(keys: Hashes, times: Floats) -> Floats:
    """The path of each key at each time (epoch seconds), in yearly standard deviations, by broadcasting."""
    total = np.zeros(np.broadcast_shapes(keys.shape, times.shape))
    for octave in range(len(_PERIODS_S)):
        position = times / _PERIODS_S[octave]
        cell = np.floor(position)
        octave_keys: Hashes = np.add(keys, np.uint64(octave), dtype=np.uint64)
        points = cell.astype(np.int64)
        left, right = unit_noise(octave_keys, points), unit_noise(octave_keys, points + 1)
        total += _AMPLITUDES[octave] * (left + (right - left) * (position - cell))
    return total


def path_noise_at(keys: Hashes, at: float) -> Floats:
    """`path_noise` of each key at one moment, with all octaves in one array operation: the hot path."""
    position = at / _PERIODS_S
    cell = np.floor(position)
    octave_keys: Hashes = np.add(keys[:, None], np.arange(len(_PERIODS_S)).astype(np.uint64), dtype=np.uint64)
    points = cell.astype(np.int64)
    left, right = unit_noise(octave_keys, points), unit_noise(octave_keys, points + 1)
    return np.asarray((left + (right - left) * (position - cell)) @ _AMPLITUDES)


def normal_cdf(x: Floats) -> Floats:
    """The standard normal distribution (Abramowitz and Stegun 7.1.26, error below 1e-7)."""
    z = np.abs(x) * np.sqrt(0.5)
    t = 1.0 / (1.0 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    upper = 0.5 * series * np.exp(-z * z)
    return np.asarray(np.where(x >= 0, 1.0 - upper, upper))


def option_price(spot: Floats, strike: Floats, *, years: Floats, volatility: Floats, sign: Floats) -> Floats:
    """Black and Scholes for calls (`sign` 1) and puts (-1); intrinsic value at and after expiry."""
    deviation = volatility * np.sqrt(np.maximum(years, 1e-9))
    discounted = strike * np.exp(-RATE * np.maximum(years, 0.0))
    d1 = np.log(spot / discounted) / deviation + deviation / 2
    return np.asarray(sign * (spot * normal_cdf(sign * d1) - discounted * normal_cdf(sign * (d1 - deviation))))


@dataclass(frozen=True, slots=True)
class PriceModel:
    """Prices of all instruments at any time. Columns have an entry for each spot, or for each row of the listing."""

    spot_keys: Hashes
    """For each spot: the key of its path."""
    spot_prices: Floats
    """For each spot: the rupees around which it moves."""
    spot_volatility: Floats
    """For each spot: yearly, 0.2 is 20 %."""
    spot_of_row: Ints
    """For each row: the index of its spot."""
    kind: Ints
    """For each row: spot, future, call or put."""
    strike: Floats
    """For each row: rupees; 1 where there is none."""
    expiry: Floats
    """For each row: epoch seconds; 0 where there is none."""
    volatility: Floats
    """For each row: with which options are priced."""
    divisor: Ints
    """For each row: units in a rupee."""
    tick: Ints
    """For each row: the smallest price step in units."""

    def prices(self, rows: Ints, at: float) -> Ints:
        """The rows' prices at one moment (epoch seconds), in units, on their tick size."""
        needed, which = np.unique(self.spot_of_row[rows], return_inverse=True)
        walk = path_noise_at(self.spot_keys[needed], at)
        spots = self.spot_prices[needed] * np.exp(self.spot_volatility[needed] * walk)
        return self._units(rows, self._derived(rows, spots[which], np.full(1, at)))

    def series(self, row: int, times: Floats, *, years: Floats | None = None) -> Ints:
        """One row's prices at many moments. `years` to expiry replace the contract's own when given."""
        spot = self.spot_of_row[row]
        walk = path_noise(self.spot_keys[spot : spot + 1], times)
        underlying = self.spot_prices[spot] * np.exp(self.spot_volatility[spot] * walk)
        rows = np.full(1, row)
        return self._units(rows, self._derived(rows, np.asarray(underlying), times, years=years))

    def _derived(self, rows: Ints, spot: Floats, times: Floats, *, years: Floats | None = None) -> Floats:
        kind = self.kind[rows]
        if not kind.any():
            return spot
        if years is None:
            years = (self.expiry[rows] - times) / YEAR_S
        forward = spot * np.exp(RATE * np.maximum(years, 0.0))
        option = option_price(
            spot,
            self.strike[rows],
            years=years,
            volatility=self.volatility[rows],
            sign=np.where(kind == _PUT, -1.0, 1.0),
        )
        return np.asarray(np.where(kind == _SPOT, spot, np.where(kind == _FUTURE, forward, option)))

    def _units(self, rows: Ints, rupees: Floats) -> Ints:
        tick = self.tick[rows]
        steps = np.rint(rupees * self.divisor[rows] / tick).astype(np.int64)
        return np.maximum(steps, 1) * tick


def build_price_model(instruments: Sequence[Instrument], *, spots: Mapping[str, Spot], seed: int) -> PriceModel:
    """The model of `instruments`, rows in their order. Every `underlying` must be a key of `spots`."""
    numbers = {name: number for number, name in enumerate(spots)}
    spot_of_row = np.array([numbers[item.underlying] for item in instruments], dtype=np.int64)
    spot_volatility = np.array([spot.volatility for spot in spots.values()])
    return PriceModel(
        spot_keys=np.array([name_key(seed, name) for name in spots], dtype=np.uint64),
        spot_prices=np.array([spot.price for spot in spots.values()]),
        spot_volatility=spot_volatility,
        spot_of_row=spot_of_row,
        kind=np.array([_KINDS[item.instrument_type] for item in instruments], dtype=np.int64),
        strike=np.array([float(item.strike) or 1.0 for item in instruments]),
        expiry=np.array([_expiry_epoch(item) for item in instruments]),
        volatility=spot_volatility[spot_of_row] * 1.1,
        divisor=np.array([item.divisor for item in instruments], dtype=np.int64),
        tick=np.array([item.tick_units for item in instruments], dtype=np.int64),
    )


def _expiry_epoch(instrument: Instrument) -> float:
    if instrument.expiry is None:
        return 0.0
    return datetime.combine(instrument.expiry, time(15, 30), IST).timestamp()


def spot_price(spot: Spot, *, seed: int, at: float) -> float:
    """The price of a spot in rupees at one moment (epoch seconds)."""
    key = np.array([name_key(seed, spot.name)], dtype=np.uint64)
    return float(spot.price * np.exp(spot.volatility * path_noise_at(key, at)[0]))
