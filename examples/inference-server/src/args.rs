//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

/// Serves sentence embeddings of one BERT model over HTTP.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// Directory with config.json, tokenizer.json and model.safetensors
    #[arg(long, env = "MODEL_DIR", default_value = "/models")]
    pub model_dir: PathBuf,

    /// Name under which the model is served; requests must ask for it
    #[arg(long, env = "MODEL_NAME", default_value = "all-MiniLM-L6-v2")]
    pub model_name: String,

    /// Longest input in tokens, with the two special ones; longer input is cut as the published model does
    // 256 is all-MiniLM-L6-v2's own value (sentence_bert_config.json). Its tokenizer.json says 128, a leftover of its training.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(3..))]
    pub max_sequence_length: u16,

    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub host: IpAddr,

    /// Port to listen on
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Requests computed at the same time; each uses every core given to the process
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Requests in the server, computed or waiting; one more is answered 429
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_in_flight: u16,

    /// Seconds to go on answering after SIGTERM, so that load balancers hear of it before the socket closes
    #[arg(long, default_value_t = 3)]
    pub shutdown_delay: u64,

    /// For tests of rollouts: seconds to wait before the model is loaded, as if it were a large one
    #[arg(long, default_value_t = 0)]
    pub startup_delay: u64,

    /// For tests of rollouts: of a hundred good requests for embeddings so many are answered 500, evenly spread
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub fail_percent: u8,

    /// Name of the pod, given back as the header x-served-by-pod
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,

    /// Name of the cluster, given back as the header x-served-by-cluster
    #[arg(long, env = "CLUSTER")]
    pub cluster: Option<String>,
}
