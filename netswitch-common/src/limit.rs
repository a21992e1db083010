//! Limits of a container: how fast it may send and receive, and how many flows it may have.
//!
//! A meter is one word, so that CPUs share it without a lock: the time until which all that has passed is paid
//! for (the theoretical arrival time of GCRA, ITU-T I.371). A packet passes while that is no further ahead than
//! [`DEPTH`], and then moves it on by what it costs: a large one leaves a debt and is not refused for its size.

use crate::map_type;

/// Ticks of a meter in a nanosecond: the price of a byte at 40 Gbit/s is no whole number of these.
const TICKS: u64 = 16;
/// A price has this many binary places.
const PLACES: u32 = 16;
/// How far a meter may run ahead, in ticks: as long as TCP waits before it sends again for the second time (200
/// ms, doubled once), so that a sender which waits for that loses nothing by it.
const DEPTH: u64 = ticks(400_000_000);

/// Bytes a second at least and at most.
pub const RATES: (u64, u64) = (1_000, 125_000_000_000);
/// Packets a second at most.
pub const MOST_PACKETS: u64 = 1_000_000_000;

/// Value of LIMITS, by sandbox: the endpoints of a container share it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What a byte and a packet cost; 0: nothing, which is no limit.
    pub byte_price: u64,
    pub packet_price: u64,
    /// Flows that each of its endpoints may have at once; 0: [`crate::host::Config::flow_quota`].
    pub flows: u32,
    pub _pad: u32,
    /// What the container sends and receives, apart from each other.
    pub sent: Meters,
    pub received: Meters,
}
map_type!(Limits, 56);

/// Until when bytes and packets are paid for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meters {
    pub bytes: u64,
    pub packets: u64,
}
map_type!(Meters, 16);

/// What one unit costs where so many pass in a second; 0 for none.
#[inline(always)]
pub const fn price(per_second: u64) -> u64 {
    match per_second {
        0 => 0,
        _ => ((1_000_000_000 * TICKS) << PLACES) / per_second,
    }
}

/// Ticks that so many units cost.
#[inline(always)]
pub const fn cost(units: u32, price: u64) -> u64 {
    (units as u64 * price) >> PLACES
}

/// The time of `bpf_ktime_get_ns` in ticks.
#[inline(always)]
pub const fn ticks(nanoseconds: u64) -> u64 {
    nanoseconds * TICKS
}

/// Whether a meter lets one more packet pass; with nothing to pay it always does.
#[inline(always)]
pub const fn lets_pass(meter: u64, now: u64, price: u64) -> bool {
    price == 0 || meter <= now + DEPTH
}

/// Value of RATIONS, by endpoint id, at 0 the world's: until when what the switch does for a sender, and need not
/// do, is paid for (`bpf_ktime_get_ns`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rations {
    /// Its broadcast and multicast frames, which are copied to every member of its network.
    pub copies: u64,
    /// ICMP errors about its packets.
    pub errors: u64,
}
map_type!(Rations, 16);

/// Broadcast and multicast frames a second that are copied for a sender who has no rate of its own: three times what
/// ROS 2 and RTP send.
pub const COPIES: u32 = 10_000;
/// At most.
pub const MOST_COPIES: u32 = 1_000_000;

/// How much of something a sender may have: a meter like those above, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ration {
    /// What one costs.
    pub price: u64,
    /// How far the meter may run ahead.
    depth: u64,
}

impl Ration {
    /// A router limits the errors that it sends (RFC 1812, 4.3.2.8; RFC 4443, 2.4 (f)); as many as Linux sends by
    /// default (`icmp_msgs_per_sec`, `icmp_msgs_burst`), but for each sender.
    pub const ERRORS: Self = Self::new(1_000, 50);

    /// Copies, so many a second, and in one moment as many as in a second; 0: [`COPIES`].
    #[inline(always)]
    pub const fn copies(per_second: u32) -> Self {
        let per_second = if per_second == 0 { COPIES } else { per_second };
        Self::new(per_second as u64, per_second as u64)
    }

    #[inline(always)]
    const fn new(per_second: u64, at_once: u64) -> Self {
        let price = 1_000_000_000 / per_second;
        Self {
            price,
            depth: (at_once - 1) * price,
        }
    }

    /// Whether a meter has room for one more.
    #[inline(always)]
    pub const fn lets_pass(self, meter: u64, now: u64) -> bool {
        meter <= now + self.depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ration_allows_its_burst_and_then_its_rate() {
        const NOW: u64 = 1_000_000_000;
        for (ration, burst) in [(Ration::copies(1_000), 1_000), (Ration::ERRORS, 50)] {
            let mut meter = 0_u64;
            let mut take = |now: u64| {
                let passes = ration.lets_pass(meter, now);
                if passes {
                    meter = meter.max(now) + ration.price;
                }
                passes
            };
            assert_eq!((0..5_000).filter(|_| take(NOW)).count(), burst);
            let passed = (1..=2_000_u64).filter(|number| take(NOW + number * 500_000)).count();
            assert_eq!(passed, 1_000);
            // a year later it holds one burst, not a year's worth
            assert_eq!((0..5_000).filter(|_| take(NOW << 25)).count(), burst);
            // a clock that seems to run backwards costs nothing
            assert!(!take(NOW));
        }
    }

    #[test]
    fn copies_have_a_rate_of_their_own_or_the_usual_one() {
        assert_eq!(Ration::copies(0), Ration::copies(COPIES));
        for rate in [1, 7, 1_000, COPIES, MOST_COPIES] {
            let ration = Ration::copies(rate);
            let mut meter = 0;
            let mut passed = 0;
            while ration.lets_pass(meter, 0) {
                meter += ration.price;
                passed += 1;
            }
            assert_eq!(passed, rate);
        }
    }

    const SECOND: u64 = ticks(1_000_000_000);

    /// Packets of a size that pass in ten seconds, of more than enough, after a first burst.
    fn passed(rate: u64, size: u32, interval: u64) -> u64 {
        let price = price(rate);
        let (mut meter, mut passed) = (0, 0);
        let mut now = 1_000 * SECOND;
        let end = now + 10 * SECOND;
        while now < end {
            if lets_pass(meter, now, price) {
                meter = meter.max(now) + cost(size, price);
                passed += u64::from(size);
            }
            now += interval;
        }
        passed
    }

    #[test]
    fn what_passes_is_the_rate_and_one_burst() {
        for (rate, size, interval) in [
            (RATES.0, 100, SECOND / 100),
            (1_250_000, 1_500, SECOND / 5_000),
            (1_250_000, 65_536, SECOND / 5_000),
            (125_000_000, 65_536, SECOND / 20_000),
        ] {
            let passed = passed(rate, size, interval);
            let expected = rate * 104 / 10;
            let error = expected / 200 + u64::from(size);
            assert!(passed.abs_diff(expected) <= error, "{rate}: {passed}");
        }
    }

    #[test]
    fn prices_of_the_extremes_fit() {
        // the smallest packets at 40 Gbit/s: 13.44 ns each
        assert!(cost(84, price(6_250_000_000)).abs_diff(13_440 * TICKS / 1_000) <= 1);
        assert!(price(RATES.1) > 1_000 && price(MOST_PACKETS) > 1_000);
        // the largest packet that there is, BIG TCP's, its headers counted for each segment
        assert!(u64::from(u32::MAX >> 12).checked_mul(price(RATES.0)).is_some());
        assert_eq!((price(0), lets_pass(u64::MAX, 0, 0)), (0, true));
    }

    #[test]
    fn nothing_is_saved_beyond_a_burst() {
        let price = price(10);
        let now = 100 * SECOND;
        let (mut meter, mut burst) = (0_u64, 0);
        while lets_pass(meter, now, price) {
            meter = meter.max(now) + cost(1, price);
            burst += 1;
        }
        assert_eq!(burst, 5); // 400 ms of ten a second, and the one that goes into debt
    }
}
