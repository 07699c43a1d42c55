"""Every work we cite, once. A formula or a row cites a place in one of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A paper, a document or a program: what to write under a number so that a reader can find it."""

    authors: str
    year: int  # 0 where none was printed
    title: str
    url: str

    @property
    def called(self) -> str:
        """Who wrote it, and when."""
        return f"{self.authors} {self.year}" if self.year else self.authors

    def at(self, place: str) -> Citation:
        """A citation with its place: a section, a table, an equation, a file."""
        return Citation(self, place)


@dataclass(frozen=True)
class Citation:
    """A work and the place in it."""

    work: Work
    place: str

    def __str__(self) -> str:
        return f"{self.work.called}, {self.place}"


def public_thread(repository: str, place: str, year: int, what: str) -> Citation:
    """A place in a public repository on GitHub: ``issue 10702``, ``pull request 4002``, or the path of a file."""
    kind, _, number = place.rpartition(" ")
    folder = {"issue": "issues", "pull request": "pull"}.get(kind)
    address = f"{folder}/{number}" if folder else f"blob/HEAD/{place}"
    return Work(repository, year, what, f"https://github.com/{repository}/{address}").at(place)


def _arxiv(authors: str, year: int, title: str, number: str) -> Work:
    return Work(authors, year, title, f"https://arxiv.org/abs/{number}")


VASWANI_2017 = _arxiv("Vaswani et al.", 2017, "Attention Is All You Need", "1706.03762")
DOSOVITSKIY_2020 = _arxiv(
    "Dosovitskiy et al.",
    2020,
    "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    "2010.11929",
)
BA_2016 = _arxiv("Ba, Kiros, Hinton", 2016, "Layer Normalization", "1607.06450")
ZHANG_2019 = _arxiv("Zhang, Sennrich", 2019, "Root Mean Square Layer Normalization", "1910.07467")
SHAZEER_2018 = _arxiv("Shazeer, Stern", 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory", "1804.04235")
SHAZEER_2019 = _arxiv("Shazeer", 2019, "Fast Transformer Decoding: One Write-Head is All You Need", "1911.02150")
SHAZEER_2020 = _arxiv("Shazeer", 2020, "GLU Variants Improve Transformer", "2002.05202")
AINSLIE_2023 = _arxiv("Ainslie et al.", 2023, "GQA: Training Generalized Multi-Query Transformer Models", "2305.13245")
PRESS_2017 = _arxiv("Press, Wolf", 2017, "Using the Output Embedding to Improve Language Models", "1608.05859")
SHAZEER_2017 = _arxiv("Shazeer et al.", 2017, "Outrageously Large Neural Networks", "1701.06538")
DEVLIN_2018 = _arxiv("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "1810.04805")
LAN_2019 = _arxiv("Lan et al.", 2019, "ALBERT: A Lite BERT for Self-supervised Learning", "1909.11942")
RAFFEL_2019 = _arxiv(
    "Raffel et al.",
    2019,
    "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
    "1910.10683",
)
CLARK_2020 = _arxiv("Clark et al.", 2020, "ELECTRA: Pre-training Text Encoders as Discriminators", "2003.10555")
BELTAGY_2020 = _arxiv("Beltagy et al.", 2020, "Longformer: The Long-Document Transformer", "2004.05150")
FEDUS_2021 = _arxiv("Fedus, Zoph, Shazeer", 2021, "Switch Transformers", "2101.03961")
HE_2020 = _arxiv("He et al.", 2020, "DeBERTa: Decoding-enhanced BERT with Disentangled Attention", "2006.03654")
DEEPSEEK_V2 = _arxiv("DeepSeek-AI", 2024, "DeepSeek-V2", "2405.04434")
DEEPSEEK_V3 = _arxiv("DeepSeek-AI", 2024, "DeepSeek-V3 Technical Report", "2412.19437")
QWEN_MOE = Work("Qwen Team", 2024, "Qwen1.5-MoE", "https://qwenlm.github.io/blog/qwen-moe/")
HUANG_2024 = _arxiv("Huang, Schlag", 2024, "Deriving Activation Functions Using Integration (xIELU)", "2411.13010")
QIU_2025 = _arxiv("Qiu et al.", 2025, "Gated Attention for Large Language Models", "2505.06708")
AGARWAL_2025 = _arxiv("Agarwal et al.", 2025, "gpt-oss-120b & gpt-oss-20b Model Card", "2508.10925")
GU_2023 = _arxiv("Gu, Dao", 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", "2312.00752")
DAO_2024 = _arxiv("Dao, Gu", 2024, "Transformers are SSMs (Mamba-2)", "2405.21060")
YANG_2024 = _arxiv("Yang, Kautz, Hatamizadeh", 2024, "Gated Delta Networks", "2412.06464")
KIMI_2025 = _arxiv("Kimi Team", 2025, "Kimi Linear: An Expressive, Efficient Attention Architecture", "2510.26692")
MINIMAX_2025 = _arxiv("MiniMax", 2025, "MiniMax-01: Scaling Foundation Models with Lightning Attention", "2501.08313")
LFM2_2025 = _arxiv("Liquid AI", 2025, "LFM2 Technical Report", "2511.23404")
DE_2024 = _arxiv("De et al.", 2024, "Griffin: Mixing Gated Linear Recurrences with Local Attention", "2402.19427")
PENG_2023 = _arxiv("Peng et al.", 2023, "RWKV: Reinventing RNNs for the Transformer Era", "2305.13048")
BECK_2024 = _arxiv("Beck et al.", 2024, "xLSTM: Extended Long Short-Term Memory", "2405.04517")
GLORIOSO_2024 = _arxiv("Glorioso et al.", 2024, "The Zamba2 Suite", "2411.15242")
LIEBER_2024 = _arxiv("Lieber et al.", 2024, "Jamba: A Hybrid Transformer-Mamba Language Model", "2403.19887")
DEEPSEEK_V32 = _arxiv("DeepSeek-AI", 2025, "DeepSeek-V3.2", "2512.02556")
LONGCAT_2025 = _arxiv("Meituan LongCat Team", 2025, "LongCat-Flash Technical Report", "2509.01322")
ZHU_2024 = _arxiv("Zhu et al.", 2024, "Hyper-Connections", "2409.19606")
BAYKAL_2023 = _arxiv("Baykal et al.", 2023, "Alternating Updates for Efficient Transformers", "2301.13310")
YE_2024 = _arxiv("Ye et al.", 2024, "Differential Transformer", "2410.05258")
SHEN_2024 = _arxiv("Shen et al.", 2024, "JetMoE: Reaching Llama2 Performance with 0.1M Dollars", "2404.07413")
TRANSFORMERS = Work("Hugging Face", 2026, "transformers 5.23", "https://github.com/huggingface/transformers")
RADFORD_2019 = Work(
    "Radford et al.", 2019, "Language Models are Unsupervised Multitask Learners", "https://github.com/openai/gpt-2"
)
BROWN_2020 = _arxiv("Brown et al.", 2020, "Language Models are Few-Shot Learners", "2005.14165")
KAPLAN_2020 = _arxiv("Kaplan et al.", 2020, "Scaling Laws for Neural Language Models", "2001.08361")
HOFFMANN_2022 = _arxiv("Hoffmann et al.", 2022, "Training Compute-Optimal Large Language Models", "2203.15556")
BESIROGLU_2024 = _arxiv("Besiroglu et al.", 2024, "Chinchilla Scaling: A replication attempt", "2404.10102")
LLAMA_3 = _arxiv("Llama Team", 2024, "The Llama 3 Herd of Models", "2407.21783")
DEEPSEEK_LLM = _arxiv(
    "DeepSeek-AI", 2024, "DeepSeek LLM: Scaling Open-Source Language Models with Longtermism", "2401.02954"
)
MUENNIGHOFF_2023 = _arxiv("Muennighoff et al.", 2023, "Scaling Data-Constrained Language Models", "2305.16264")
SARDANA_2023 = _arxiv(
    "Sardana et al.",
    2023,
    "Beyond Chinchilla-Optimal: Accounting for Inference in Language Model Scaling Laws",
    "2401.00448",
)
GADRE_2024 = _arxiv(
    "Gadre et al.",
    2024,
    "Language models scale reliably with over-training and on downstream tasks",
    "2403.08540",
)
KUMAR_2024 = _arxiv("Kumar et al.", 2024, "Scaling Laws for Precision", "2411.04330")
CLARK_2022 = _arxiv("Clark et al.", 2022, "Unified Scaling Laws for Routed Language Models", "2202.01169")
KRAJEWSKI_2024 = _arxiv("Krajewski et al.", 2024, "Scaling Laws for Fine-Grained Mixture of Experts", "2402.07871")
PATTERSON_2021 = _arxiv("Patterson et al.", 2021, "Carbon Emissions and Large Neural Network Training", "2104.10350")
ECOLOGITS = Work(
    "GenAI Impact",
    2025,
    "EcoLogits: electricity mixes, from Our World in Data",
    "https://github.com/genai-impact/ecologits/blob/0adc8ab6f220a175f5b19966b9e73616e4718752/ecologits/data/electricity_mixes.csv",
)
TOUVRON_2023 = _arxiv("Touvron et al.", 2023, "LLaMA: Open and Efficient Foundation Language Models", "2302.13971")
BIDERMAN_2023 = _arxiv("Biderman et al.", 2023, "Pythia", "2304.01373")
ZHANG_2022 = _arxiv("Zhang et al.", 2022, "OPT: Open Pre-trained Transformer Language Models", "2205.01068")
LI_2023 = _arxiv("Li et al.", 2023, "StarCoder: may the source be with you!", "2305.06161")
LLAMA_MODELS = Work("Meta", 2024, "Model cards of Llama", "https://github.com/meta-llama/llama-models")
MOSAIC_2023 = Work("MosaicML", 2023, "Introducing MPT-7B", "https://www.mosaicml.com/blog/mpt-7b")
FALCON_180B = Work(
    "Hugging Face", 2023, "Spread Your Wings: Falcon 180B is here", "https://huggingface.co/blog/falcon-180b"
)
SMOLLM3 = Work("Hugging Face", 2025, "SmolLM3", "https://huggingface.co/blog/smollm3")
KORTHIKANTI_2022 = _arxiv(
    "Korthikanti et al.", 2022, "Reducing Activation Recomputation in Large Transformer Models", "2205.05198"
)
RAJBHANDARI_2020 = _arxiv(
    "Rajbhandari et al.", 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", "1910.02054"
)
SHOEYBI_2019 = _arxiv(
    "Shoeybi et al.",
    2019,
    "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism",
    "1909.08053",
)
NARAYANAN_2021 = _arxiv(
    "Narayanan et al.",
    2021,
    "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM",
    "2104.04473",
)
CHOWDHERY_2022 = _arxiv("Chowdhery et al.", 2022, "PaLM: Scaling Language Modeling with Pathways", "2204.02311")
REN_2021 = _arxiv("Ren et al.", 2021, "ZeRO-Offload: Democratizing Billion-Scale Model Training", "2101.06840")
LIU_2023 = _arxiv(
    "Liu, Zaharia, Abbeel", 2023, "Ring Attention with Blockwise Transformers for Near-Infinite Context", "2310.01889"
)
ZHAO_2023 = _arxiv(
    "Zhao et al.", 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", "2304.11277"
)
LOSHCHILOV_2019 = _arxiv("Loshchilov, Hutter", 2019, "Decoupled Weight Decay Regularization", "1711.05101")
RAFAILOV_2023 = _arxiv("Rafailov et al.", 2023, "Direct Preference Optimization", "2305.18290")
ETHAYARAJH_2024 = _arxiv(
    "Ethayarajh et al.", 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", "2402.01306"
)
OUYANG_2022 = _arxiv(
    "Ouyang et al.", 2022, "Training language models to follow instructions with human feedback", "2203.02155"
)
SCHULMAN_2017 = _arxiv("Schulman et al.", 2017, "Proximal Policy Optimization Algorithms", "1707.06347")
SHAO_2024 = _arxiv("Shao et al.", 2024, "DeepSeekMath", "2402.03300")
JORDAN_2024 = Work(
    "Jordan et al.",
    2024,
    "Muon: An optimizer for hidden layers in neural networks",
    "https://kellerjordan.github.io/posts/muon/",
)
CHEN_2016 = _arxiv("Chen et al.", 2016, "Training Deep Nets with Sublinear Memory Cost", "1604.06174")
HU_2021 = _arxiv("Hu et al.", 2021, "LoRA: Low-Rank Adaptation of Large Language Models", "2106.09685")
CHEN_2023 = _arxiv("Chen et al.", 2023, "Symbolic Discovery of Optimization Algorithms", "2302.06675")
DETTMERS_2022 = _arxiv("Dettmers et al.", 2022, "8-bit Optimizers via Block-wise Quantization", "2110.02861")
DETTMERS_LLM_INT8 = _arxiv(
    "Dettmers et al.", 2022, "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", "2208.07339"
)
DETTMERS_2023 = _arxiv("Dettmers et al.", 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", "2305.14314")
FRANTAR_2023 = _arxiv(
    "Frantar et al.",
    2023,
    "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    "2210.17323",
)
LIN_2023 = _arxiv("Lin et al.", 2023, "AWQ: Activation-aware Weight Quantization", "2306.00978")
FRANTAR_ALISTARH_2023 = _arxiv(
    "Frantar, Alistarh", 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", "2301.00774"
)
MISHRA_2021 = _arxiv("Mishra et al.", 2021, "Accelerating Sparse Deep Neural Networks", "2104.08378")
HAN_2015 = _arxiv(
    "Han, Mao, Dally",
    2015,
    "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman Coding",
    "1510.00149",
)
HINTON_2015 = _arxiv("Hinton, Vinyals, Dean", 2015, "Distilling the Knowledge in a Neural Network", "1503.02531")
SANH_2019 = _arxiv("Sanh et al.", 2019, "DistilBERT, a distilled version of BERT", "1910.01108")
MURALIDHARAN_2024 = _arxiv(
    "Muralidharan et al.", 2024, "Compact Language Models via Pruning and Knowledge Distillation", "2407.14679"
)
SREENIVAS_2024 = _arxiv(
    "Sreenivas et al.", 2024, "LLM Pruning and Distillation in Practice: The Minitron Approach", "2408.11796"
)
COMPRESSED_TENSORS = Work(
    "Neural Magic",
    2024,
    "compressed-tensors: sparse and quantized tensors on disk",
    "https://github.com/neuralmagic/compressed-tensors",
)
GPT_FAST = Work("PyTorch Labs", 2023, "gpt-fast", "https://github.com/pytorch-labs/gpt-fast")
DAO_2022 = _arxiv("Dao et al.", 2022, "FlashAttention: Fast and Memory-Efficient Exact Attention", "2205.14135")
MICIKEVICIUS_2022 = _arxiv("Micikevicius et al.", 2022, "FP8 Formats for Deep Learning", "2209.05433")
MICIKEVICIUS_2018 = _arxiv("Micikevicius et al.", 2018, "Mixed Precision Training", "1710.03740")
ROUHANI_2023 = _arxiv("Rouhani et al.", 2023, "Microscaling Data Formats for Deep Learning", "2310.10537")
IEEE_754 = Work(
    "IEEE",
    2019,
    "IEEE Standard for Floating-Point Arithmetic (754-2019)",
    "https://doi.org/10.1109/IEEESTD.2019.8766229",
)
KWON_2023 = _arxiv(
    "Kwon et al.",
    2023,
    "Efficient Memory Management for Large Language Model Serving with PagedAttention",
    "2309.06180",
)
VLLM = Work("vLLM", 2026, "vLLM: a serving engine for language models", "https://github.com/vllm-project/vllm")
LI_2024_EAGLE = Work(
    "Li et al.",
    2024,
    "EAGLE: Speculative Sampling Requires Rethinking Feature Uncertainty",
    "https://arxiv.org/abs/2401.15077",
)
SGLANG = Work("SGLang", 2026, "SGLang: a serving framework", "https://github.com/sgl-project/sglang")
TENSORRT_LLM = Work("NVIDIA TensorRT-LLM", 2026, "TensorRT-LLM", "https://github.com/NVIDIA/TensorRT-LLM")
GGUF = Work("ggml-org", 2025, "llama.cpp: GGUF quantization types", "https://github.com/ggml-org/llama.cpp")
AUTO_GPTQ = Work("AutoGPTQ", 2024, "AutoGPTQ", "https://github.com/AutoGPTQ/AutoGPTQ")
COMPRESSED = Work("vLLM project", 2026, "compressed-tensors", "https://github.com/vllm-project/compressed-tensors")
MLX = Work("Apple", 2026, "MLX: an array framework for Apple silicon", "https://github.com/ml-explore/mlx")
FBGEMM = Work("PyTorch", 2025, "FBGEMM", "https://github.com/pytorch/FBGEMM")
WILLIAMS_2009 = Work(
    "Williams, Waterman, Patterson",
    2009,
    "Roofline: An Insightful Visual Performance Model for Multicore Architectures",
    "https://doi.org/10.1145/1498765.1498785",
)
POPE_2022 = _arxiv("Pope et al.", 2022, "Efficiently Scaling Transformer Inference", "2211.05102")
LEVIATHAN_2022 = _arxiv(
    "Leviathan et al.", 2022, "Fast Inference from Transformers via Speculative Decoding", "2211.17192"
)
AGRAWAL_2024 = _arxiv(
    "Agrawal et al.", 2024, "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", "2403.02310"
)
SERVED_RUNS = Work(
    "SemiAnalysis InferenceX and others",
    2026,
    "Benchmark runs of serving engines, as collected in aiconfigurator-core 0.12.0",
    "https://github.com/ai-dynamo/aiconfigurator",
)
NANOGPT = Work("Karpathy", 2022, "nanoGPT", "https://github.com/karpathy/nanoGPT")
PYTORCH = Work("PyTorch", 2026, "PyTorch 2.13", "https://pytorch.org/docs/")
TORCHTITAN = Work("PyTorch", 2024, "torchtitan", "https://github.com/pytorch/torchtitan")
TORCHTUNE = Work("PyTorch", 2025, "torchtune", "https://github.com/pytorch/torchtune")
ANSEL_2024 = Work(
    "Ansel et al.",
    2024,
    "PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and Graph Compilation",
    "https://docs.pytorch.org/assets/pytorch2-2.pdf",
)
TRL = Work("Hugging Face", 2026, "TRL", "https://github.com/huggingface/trl")
PEFT = Work("Hugging Face", 2026, "PEFT 0.21", "https://github.com/huggingface/peft")
MEASURED = Work(
    "llmcalc",
    2026,
    "Real PyTorch training steps, every allocation counted",
    "https://pytorch.org/docs/stable/torch_cuda_memory.html",
)
ARTICLE = Work("Source article", 2024, "Counting the parameters and the memory of Transformer language models", "")
NVIDIA = Work(
    "NVIDIA", 2024, "Data sheets of data-center and GeForce GPUs", "https://www.nvidia.com/en-us/data-center/"
)
AMD = Work("AMD", 2025, "AMD Instinct data sheets", "https://www.amd.com/en/products/accelerators/instinct.html")
INTEL = Work("Intel", 2024, "Gaudi 3 white paper", "https://www.intel.com/")
GOOGLE_TPU = Work("Google", 2025, "Cloud TPU system architecture", "https://cloud.google.com/tpu/docs")
APPLE = Work("Apple", 2025, "Mac technical specifications", "https://support.apple.com/specs")


def _at_commit(authors: str, title: str, year: int, repository: str, commit: str) -> Work:
    """A library as its public repository was at a commit, a version's or just after it."""
    return Work(authors, year, title, f"https://github.com/{repository}/tree/{commit}")


PEFT = _at_commit("Hugging Face", "PEFT 0.20", 2026, "huggingface/peft", "321ee4dd211a5ec07be97ebd1f931d07c83daf3d")
TRL = _at_commit("Hugging Face", "TRL 1.9", 2026, "huggingface/trl", "00906e8c1086e34ba03ad278fd4446287ac43d18")
ACCELERATE = _at_commit(
    "Hugging Face", "Accelerate 1.14", 2026, "huggingface/accelerate", "85dbe03e024451e95668794a9a312cb7f8a73cf3"
)
UNSLOTH = _at_commit(
    "Unsloth AI", "Unsloth 2026.8", 2026, "unslothai/unsloth", "78c1d4d25c2b6fdd4cbccd6932bf2056d59e967e"
)
LITGPT = _at_commit(
    "Lightning AI", "LitGPT 0.5.13", 2026, "Lightning-AI/litgpt", "66723a9a3f91b2c6b33a3bf4985053f2bf63d810"
)
TORCHTUNE = _at_commit(
    "PyTorch", "torchtune 0.7", 2026, "pytorch/torchtune", "a2004d3eeea4a522bc2b8782e4fc8c4e416a67f1"
)
TORCHTITAN = _at_commit(
    "PyTorch", "torchtitan 0.2.2", 2026, "pytorch/torchtitan", "7238a9c57aca5af61d013d6444556648853118f2"
)
NVIDIA_SMI = Work("NVIDIA", 2026, "nvidia-smi", "https://docs.nvidia.com/deploy/nvidia-smi/")
VIM = Work("JCGM 200", 2012, "International vocabulary of metrology", "https://www.bipm.org/en/committees/jc/jcgm")
OLLAMA = _at_commit("Ollama", "Ollama 0.33", 2026, "ollama/ollama", "fb30760996871fa9460115c753afd2c60d4ab0f7")
DEEPSPEED = Work("DeepSpeed", 2026, "DeepSpeed Configuration JSON", "https://www.deepspeed.ai/docs/config-json/")
