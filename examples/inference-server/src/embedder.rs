//! The model: text in, vectors out.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, DTYPE};
use tokenizers::{Tokenizer, TruncationParams};

use crate::pooling;

/// Why a model could not be loaded or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// A file of the model could not be read.
    #[error("cannot read {}: {source}; the model directory needs config.json, tokenizer.json and model.safetensors", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `config.json` does not describe a BERT model.
    #[error("config.json does not describe a BERT model: {0}")]
    Config(#[source] serde_json::Error),
    /// The tokenizer's file is broken, or it refused a text.
    #[error("tokenizer: {0}")]
    Tokenizer(#[source] tokenizers::Error),
    /// The weights do not fit the configuration, or the computation failed.
    #[error("model: {0}")]
    Model(#[from] candle_core::Error),
    /// The sequence length asked for is longer than the model's position embeddings.
    #[error("--max-sequence-length {asked} is more than the model's max_position_embeddings {limit}")]
    SequenceLength {
        /// Tokens asked for.
        asked: usize,
        /// Tokens the model can tell apart by position.
        limit: usize,
    },
    /// The self-test's answer is no unit vector: the weights are damaged.
    #[error("the self-test embedding has length {0} instead of 1: the weights are damaged")]
    SelfTest(f32),
}

/// A loaded sentence-embedding model.
pub struct Embedder {
    model: BertModel,
    tokenizer: Tokenizer,
}

/// One embedded text.
pub struct Embedding {
    /// The sentence's vector, of length 1.
    pub vector: Vec<f32>,
    /// Tokens the model saw, the special ones included.
    pub tokens: usize,
}

impl Embedder {
    /// Loads `config.json`, `tokenizer.json` and `model.safetensors` from `dir`; texts longer than `max_tokens` are cut.
    ///
    /// # Errors
    /// When a file is missing or broken, or the three do not fit together.
    pub fn load(dir: &Path, max_tokens: usize) -> Result<Self, EmbedderError> {
        let config: Config = serde_json::from_slice(&read(dir, "config.json")?).map_err(EmbedderError::Config)?;
        if max_tokens > config.max_position_embeddings {
            return Err(EmbedderError::SequenceLength { asked: max_tokens, limit: config.max_position_embeddings });
        }
        let mut tokenizer = Tokenizer::from_bytes(read(dir, "tokenizer.json")?).map_err(EmbedderError::Tokenizer)?;
        // The file's own padding and truncation are those of the training run, not of the published model.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: max_tokens, ..TruncationParams::default() }))
            .map_err(EmbedderError::Tokenizer)?;
        let weights = VarBuilder::from_buffered_safetensors(read(dir, "model.safetensors")?, DTYPE, &Device::Cpu)?;
        let model = BertModel::load(weights, &config)?;
        Ok(Self { model, tokenizer })
    }

    /// The vector of one text. One text at a time needs no padding, so that its answer does not depend on its neighbours
    /// and memory is bounded by the longest text alone.
    ///
    /// # Errors
    /// When the tokenizer or the model refuses the text.
    pub fn embed(&self, text: &str) -> Result<Embedding, EmbedderError> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(EmbedderError::Tokenizer)?;
        let ids = Tensor::new(encoding.get_ids(), &self.model.device)?.unsqueeze(0)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?;
        let vector = pooling::mean_normalised(&hidden.squeeze(0)?)?.to_vec1()?;
        Ok(Embedding { vector, tokens: encoding.len() })
    }

    /// Embeds a sentence and checks that a unit vector comes back: NaN weights and zeroed files fail here.
    ///
    /// # Errors
    /// When the model fails or its answer is no unit vector.
    pub fn self_test(&self) -> Result<(), EmbedderError> {
        let vector = self.embed("Is the model there?")?.vector;
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        // Written so that NaN fails as well: it is never within the bound.
        if (length - 1.0).abs() < 1e-3 { Ok(()) } else { Err(EmbedderError::SelfTest(length)) }
    }
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, EmbedderError> {
    let path = dir.join(name);
    std::fs::read(&path).map_err(|source| EmbedderError::Read { path, source })
}
