//! From the vectors of tokens to the one vector of a sentence.

use candle_core::{D, Result, Tensor};

/// The mean over all tokens, scaled to length 1: shape (tokens, hidden) in, (hidden) out.
///
/// This is what the modules `Pooling` (mean) and `Normalize` of a sentence-transformers model do. There is no mask,
/// because one sentence alone has no padding.
///
/// # Errors
/// When the tensor library refuses the shape.
pub fn mean_normalised(hidden: &Tensor) -> Result<Tensor> {
    let mean = hidden.mean(0)?;
    let length = mean.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    // The floor is torch.nn.functional.normalize's: a zero vector stays zero instead of turning into NaN.
    mean.broadcast_div(&length.maximum(1e-12)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn pooled<const N: usize>(tokens: [[f32; 2]; N]) -> Vec<f32> {
        mean_normalised(&Tensor::new(&tokens, &Device::Cpu).unwrap()).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_token_counts_the_same() {
        // Mean (3, 4), length 5.
        assert_eq!(pooled([[6.0, 0.0], [0.0, 0.0], [3.0, 12.0]]), [0.6, 0.8]);
    }

    #[test]
    fn a_single_token_is_only_scaled() {
        assert_eq!(pooled([[0.0, -2.0]]), [0.0, -1.0]);
    }

    #[test]
    fn a_zero_vector_stays_zero() {
        assert_eq!(pooled([[1.0, -1.0], [-1.0, 1.0]]), [0.0, 0.0]);
    }
}
