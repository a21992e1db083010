//! The Internet checksum (RFC 1071).

/// Folds a 32-bit sum to the 16-bit checksum field, in the byte order of the summed words.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
