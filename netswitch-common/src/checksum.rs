//! The Internet checksum (RFC 1071).

use crate::address::Address;

/// Folds a 32-bit sum to the 16-bit checksum field, in the byte order of the summed words.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// A sum of up to 2^16 words of 32 bits, for [`fold`].
#[inline(always)]
pub const fn narrow(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    ((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32)) as u32
}

/// The sum of bytes that stand at an odd place (RFC 1071, 2).
#[inline(always)]
pub const fn at_odd_place(sum: u32) -> u32 {
    (!fold(sum)).swap_bytes() as u32
}

/// Of the pseudo header, for `length` bytes behind the IP header (RFC 9293, 3.1; RFC 8200, 8.1). What an
/// address holds beside IPv4's four bytes adds nothing to a one's complement sum.
#[inline(always)]
pub fn pseudo_header(from: &Address, to: &Address, protocol: u8, length: u16) -> u32 {
    let mut sum = u64::from(length.to_be()) + u64::from(u16::from(protocol).to_be());
    for word in from.0 {
        sum += u64::from(word);
    }
    for word in to.0 {
        sum += u64::from(word);
    }
    narrow(sum)
}

/// Whether a checksum field that went from `before` to `after` when `change` was added to it is one that a
/// device will finish (`CHECKSUM_PARTIAL`, linux/skbuff.h): such a field holds the pseudo header's sum as it
/// is, a finished one the complement of its sum. `false` where the change does not tell.
#[inline(always)]
pub const fn is_unfinished(before: u16, after: u16, change: u32) -> bool {
    let change = (change & 0xffff) + (change >> 16);
    let is_none = matches!(fold(change), 0 | 0xffff);
    !is_none && after == !fold(before as u32 + change)
}

/// What `WORDS` words of a header are together, for [`narrow`]. It is made of integers, without padding.
#[inline(always)]
pub fn total<T, const WORDS: usize>(header: &T) -> u64 {
    const { assert!(size_of::<T>() >= 4 * WORDS) };
    let words = core::ptr::from_ref(header).cast::<u32>();
    let mut total = 0;
    for word in 0..WORDS {
        // SAFETY: inside the header, which is made of integers
        total += u64::from(unsafe { words.add(word).read_unaligned() });
    }
    total
}

/// One's complement sum over bytes, as native-order words; what `bpf_csum_diff` computes.
pub fn sum(bytes: &[u8], start: u32) -> u32 {
    let mut total = u64::from(start);
    let mut chunks = bytes.chunks_exact(2);
    for pair in &mut chunks {
        if let [a, b] = pair {
            total += u64::from(u16::from_ne_bytes([*a, *b]));
        }
    }
    if let [last] = chunks.remainder() {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    let total = (total & 0xffff_ffff) + (total >> 32);
    ((total & 0xffff_ffff) + (total >> 32)) as u32
}

/// CRC-32C (RFC 9260, appendix A), bits in the order that SCTP sends them.
const CRC32C: u32 = 0x82f6_3b78;

/// x^(8 * 2^i) modulo the polynomial: what 2^i bytes of zeros behind a remainder do to it.
static ZEROS: [u32; 16] = zeros();

const fn zeros() -> [u32; 16] {
    let mut powers = [0; 16];
    let mut power = 0x0080_0000; // x^8
    let mut i = 0;
    while i < powers.len() {
        powers[i] = power;
        power = multiply(power, power);
        i += 1;
    }
    powers
}

/// What four bits at the end of a remainder become when it moves on by four.
static NIBBLES: [u32; 16] = nibbles();

const fn nibbles() -> [u32; 16] {
    let mut remainders = [0; 16];
    let mut nibble = 0;
    while nibble < remainders.len() {
        let mut remainder = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            remainder = (remainder >> 1) ^ (CRC32C * (remainder & 1));
            bit += 1;
        }
        remainders[nibble] = remainder;
        nibble += 1;
    }
    remainders
}

/// The product of two remainders.
const fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut turn = 0;
    while turn < TURNS {
        product = add_product(product, a, b, turn);
        turn += 1;
    }
    product
}

const TURNS: u32 = 8;

/// One turn of a multiplication: four bits of `a`, those of the highest powers first. It is reduced by a table: a mask
/// of the polynomial is two values that the verifier of Linux 7 follows one by one, which would double its work with
/// each bit.
#[inline(always)]
const fn add_product(product: u32, a: u32, b: u32, turn: u32) -> u32 {
    // four powers more, which lie below bit 32 until they are reduced
    let mut wide = (product as u64) << 28;
    let mut bit = 0;
    while bit < 4 {
        let mask = ((a >> (4 * turn + bit) & 1) as u64).wrapping_neg();
        wide ^= (b as u64) << (29 + bit) & mask;
        bit += 1;
    }
    (wide >> 32) as u32 ^ NIBBLES[(wide >> 28 & 15) as usize]
}

/// What a CRC-32C changes by when its first four bytes change: see [`crc32c_change`]. In steps, because
/// a verifier follows every turn of a loop.
#[repr(C)]
pub struct Crc32cChange {
    remainder: u32,
    count: u32,
    step: u32,
    product: u32,
}

impl Crc32cChange {
    pub const STEPS: u32 = ZEROS.len() as u32 * TURNS;

    /// As for [`crc32c_change`].
    #[inline(always)]
    pub const fn new(difference: u32, following: u32) -> Self {
        Self {
            remainder: u32::from_le(difference),
            // four bytes through the register, then the zeros that stand for what follows
            count: following + 4,
            step: 0,
            product: 0,
        }
    }

    /// The next of [`Self::STEPS`]: a turn of the multiplication by what so many zeros do, if there are that many.
    #[inline(always)]
    pub fn step(&mut self) {
        let turn = self.step % TURNS;
        if let Some(power) = ZEROS.get((self.step / TURNS) as usize)
            && self.count & 1 != 0
        {
            self.product = add_product(self.product, *power, self.remainder, turn);
            if turn == TURNS - 1 {
                self.remainder = self.product;
                self.product = 0;
            }
        }
        if turn == TURNS - 1 {
            self.count >>= 1;
        }
        self.step += 1;
    }

    #[inline(always)]
    pub const fn finish(&self) -> u32 {
        self.remainder.to_le()
    }
}

/// What a CRC-32C changes by when the four bytes change by `difference` (exclusive or, in memory order)
/// and `following` bytes come behind them, fewer than 65,536. In memory order, as SCTP has it.
pub fn crc32c_change(difference: u32, following: u32) -> u32 {
    let mut change = Crc32cChange::new(difference, following);
    for _ in 0..Crc32cChange::STEPS {
        change.step();
    }
    change.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_in_pieces_is_the_sum_of_all() {
        let bytes: Vec<u8> = (0..41_u8).map(|byte| byte.wrapping_mul(83)).collect();
        let (front, back) = bytes.split_at(17);
        assert_eq!(fold(sum(front, 0) + at_odd_place(sum(back, 0))), fold(sum(&bytes, 0)));
        let words = bytes
            .chunks_exact(4)
            .map(|word| u64::from(u32::from_ne_bytes(word.try_into().unwrap())));
        assert_eq!(fold(narrow(words.sum())), fold(sum(&bytes[..40], 0)));
        let header: [u8; 40] = bytes[..40].try_into().unwrap();
        assert_eq!(fold(narrow(total::<_, 10>(&header))), fold(sum(&header, 0)));
        assert_eq!(fold(narrow(total::<_, 5>(&header))), fold(sum(&header[..20], 0)));
    }

    #[test]
    fn a_pseudo_header_is_summed_in_both_families() {
        let parse = |text: &str| Address::from(text.parse::<core::net::IpAddr>().unwrap());
        let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 1, 2];
        let of = |from, to| fold(pseudo_header(&parse(from), &parse(to), 17, 0x102));
        assert_eq!(of("10.0.0.1", "10.0.0.2"), fold(sum(&v4, 0)));
        let mut v6 = [0_u8; 36];
        v6[..2].copy_from_slice(&[0xfd, 0x01]);
        v6[15] = 1;
        v6[16..18].copy_from_slice(&[0xfd, 0x02]);
        v6[31] = 2;
        v6[32..].copy_from_slice(&[0, 17, 1, 2]);
        assert_eq!(of("fd01::1", "fd02::2"), fold(sum(&v6, 0)));
    }

    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        // the example header of RFC 1071's successors: 192.168.0.1 -> 192.168.0.199, UDP
        let mut header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00,
            0xc7,
        ];
        let check = fold(sum(&header, 0));
        assert_eq!(check.to_ne_bytes(), [0xb8, 0x61]);
        header[10..12].copy_from_slice(&check.to_ne_bytes());
        assert_eq!(fold(sum(&header, 0)), 0);
    }

    #[test]
    fn a_changed_field_tells_whether_a_device_will_finish_it() {
        let unfinished = |before: u16, change: u32| !fold(u32::from(before) + (change & 0xffff) + (change >> 16));
        let finished = |before: u16, change: u32| fold(u32::from(!before) + (change & 0xffff) + (change >> 16));
        for before in [0, 1, 0x1234, 0x7fff, 0x8000, 0xfffe, 0xffff] {
            for change in [1, 0x5678, 0xffff_0001, 0x1_0000, 0xdead_beef, 0xffff_fffe] {
                let about = format!("{before:#x} + {change:#x}");
                assert!(is_unfinished(before, unfinished(before, change), change), "{about}");
                assert!(!is_unfinished(before, finished(before, change), change), "{about}");
            }
            for change in [0, 0xffff, 0xffff_0000, 0xffff_ffff] {
                assert!(!is_unfinished(before, before, change));
            }
        }
    }

    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 != 0 { CRC32C } else { 0 }
            })
        })
    }

    #[test]
    fn a_crc_follows_a_change_of_its_first_bytes() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        for length in [12, 13, 20, 1_464, 60_000] {
            let mut packet: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            packet[8..12].fill(0);
            let before = crc32c(&packet);
            let old = u32::from_ne_bytes(packet[..4].try_into().unwrap());
            let new = old ^ 0x1234_5678;
            packet[..4].copy_from_slice(&new.to_ne_bytes());
            let change = crc32c_change(old ^ new, length - 4);
            assert_eq!(before.to_le() ^ change, crc32c(&packet).to_le(), "{length}");
        }
    }
}
