//! The decimal digits of a double, the same ones as Redis 7.2 finds.
//!
//! Redis writes doubles by fpconv, which is Grisu2 of Florian Loitsch, "Printing Floating-Point
//! Numbers Quickly and Accurately with Integers" (PLDI 2010). Its digits always read back as the
//! same number; for some 6 of 10,000 random doubles they are not the shortest ones or not the
//! nearest among these, so that only the same method gives the same text.

/// `significand` times 2^`exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    significand: u64,
    exponent: i32,
}

/// Bits of a double's significand, without the one that is not stored.
const STORED_BITS: u32 = 52;
/// The exponent of the smallest doubles.
const EXPONENT_MIN: i32 = -1074;
/// After the scaling by a power of ten the exponent is in this range: digits before the point fit
/// 32 bits, and those behind it are found by multiplications of 64 bits.
const SCALED_EXPONENTS: std::ops::RangeInclusive<i32> = -60..=-32;
/// The first of [`POWERS`], and how far they are apart.
const POWERS_FIRST: i32 = -348;
const POWERS_STEP: i32 = 8;

/// The upper 64 bits of 10^-348, 10^-340, ..., 10^340, rounded to nearest.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76, 0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df, 0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c, 0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57, 0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7, 0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e, 0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126, 0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053, 0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f, 0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06, 0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb, 0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000, 0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068, 0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8, 0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758, 0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d, 0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25, 0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2, 0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410, 0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129, 0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85, 0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];

/// The digits of a finite `value` above 0, as a number, and the power of ten of the last one.
pub fn digits(value: f64) -> (u64, i32) {
    let value = Scaled::new(value);
    let (lower, upper) = value.boundaries();
    let (scale, power) = power_for(upper.exponent);
    let value = value.normalized().times(scale);
    let upper = upper.times(scale).significand - 1;
    let lower = lower.times(scale).significand + 1;
    let (digits, dropped) = generate(upper, value.significand, lower, -value.exponent);
    (digits, dropped - power)
}

/// The shortest digits of a number between `lower` and `upper`, towards `value`, and the power of
/// ten of the last one. All have `point` bits behind the point.
fn generate(upper: u64, value: u64, lower: u64, point: i32) -> (u64, i32) {
    let one = 1 << point;
    let mut width = upper - lower;
    let mut distance = upper - value;
    let mut whole = upper >> point;
    let mut rest = upper & (one - 1);
    let mut digits = 0;
    let mut unit = 1_000_000_000;
    for power in (0..10).rev() {
        digits = digits * 10 + whole / unit;
        whole %= unit;
        let below = (whole << point) + rest;
        if below <= width {
            return (round(digits, width, below, unit << point, distance), power);
        }
        unit /= 10;
    }
    let mut power = 0;
    loop {
        rest *= 10;
        width *= 10;
        distance *= 10;
        power -= 1;
        digits = digits * 10 + (rest >> point);
        rest &= one - 1;
        if rest < width {
            return (round(digits, width, rest, one, distance), power);
        }
    }
}

/// Lowers the last digit while that comes nearer to the value, which is `distance` below the upper
/// boundary; the digits are `below` it now.
fn round(mut digits: u64, width: u64, mut below: u64, unit: u64, distance: u64) -> u64 {
    while below < distance
        && width - below >= unit
        && (below + unit < distance || distance - below > below + unit - distance)
    {
        digits -= 1;
        below += unit;
    }
    digits
}

/// A power of ten that brings a number with this exponent into [`SCALED_EXPONENTS`].
fn power_for(exponent: i32) -> (Scaled, i32) {
    // Where two of them do, the choice matters: this is where fpconv begins to look.
    let about = (f64::from(-(exponent + POWERS.len() as i32)) * std::f64::consts::LOG10_2) as i32;
    let mut index = (about - POWERS_FIRST) / POWERS_STEP;
    loop {
        let power = POWERS_FIRST + index * POWERS_STEP;
        let scale = Scaled { significand: POWERS[index as usize], exponent: power_exponent(power) };
        let scaled = exponent + scale.exponent + 64;
        if SCALED_EXPONENTS.contains(&scaled) {
            return (scale, power);
        }
        index += if scaled < *SCALED_EXPONENTS.start() { 1 } else { -1 };
    }
}

/// The exponent of 2 with which 10^`power` has 64 bits.
fn power_exponent(power: i32) -> i32 {
    ((power * 1_741_647) >> 19) - 63 // 2^19 times the logarithm of 10 to the base 2.
}

impl Scaled {
    fn new(value: f64) -> Scaled {
        let bits = value.to_bits();
        let stored = bits & ((1 << STORED_BITS) - 1);
        match (bits >> STORED_BITS) as i32 & 0x7ff {
            0 => Scaled { significand: stored, exponent: EXPONENT_MIN },
            biased => Scaled {
                significand: stored | 1 << STORED_BITS,
                exponent: EXPONENT_MIN + biased - 1,
            },
        }
    }

    /// Half way to the next smaller and the next larger double, with the same exponent.
    fn boundaries(self) -> (Scaled, Scaled) {
        let Scaled { significand, exponent } = self;
        let upper = Scaled { significand: (significand << 1) + 1, exponent: exponent - 1 };
        let upper = upper.normalized();
        let bits = if significand == 1 << STORED_BITS { 2 } else { 1 };
        let lower = Scaled { significand: (significand << bits) - 1, exponent: exponent - bits };
        let shift = lower.exponent - upper.exponent;
        let lower = Scaled { significand: lower.significand << shift, exponent: upper.exponent };
        (lower, upper)
    }

    /// The same number with its highest bit set.
    fn normalized(self) -> Scaled {
        let shift = self.significand.leading_zeros();
        Scaled { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper 64 bits of the product, rounded.
    fn times(self, other: Scaled) -> Scaled {
        let product = u128::from(self.significand) * u128::from(other.significand);
        let significand = ((product + (1 << 63)) >> 64) as u64;
        Scaled { significand, exponent: self.exponent + other.exponent + 64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn digits_read_back_as_the_same_number() {
        let mut rng = Rng::new(1);
        for _ in 0..200_000 {
            let value = f64::from_bits(rng.next_u64() >> 1);
            if value.is_finite() && value > 0.0 {
                let (digits, power) = digits(value);
                let text = format!("{digits}e{power}");
                assert_eq!(text.parse(), Ok(value), "{text} for {value:e}");
            }
        }
    }
}
