// Lets a build of PyTorch without CUDA run fake tensors on cuda:0: a device guard that does nothing, hooks that report
// one device, and CUDA's choice of attention kernel. Nothing is ever computed.

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/native/transformers/sdp_utils_cpp.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

const c10::Device kDevice(c10::DeviceType::CUDA, 0);
const c10::Stream kStream(c10::Stream::DEFAULT, kDevice);

// One device, one stream; events, which order streams, have nothing to order.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Stream getStream(c10::Device) const noexcept override { return kStream; }
  c10::Stream getNewStream(c10::Device, int) const override { return kStream; }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return kStream; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};

struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  int getNumGPUs() const override { return 1; }
};

// What aten/src/ATen/native/transformers/cuda/sdp_utils.cpp asks of each kernel, as far as it depends on the tensors:
// flash takes half precision without a mask and heads of one width up to 256; memory-efficient takes a mask and fp32,
// but no grouped heads, and rows of a multiple of 16 bytes; math takes the rest. cuDNN's kernel is left out.
int64_t attention_kernel(
    const at::Tensor& query,
    const at::Tensor& key,
    const at::Tensor& value,
    const std::optional<at::Tensor>& mask,
    double,
    bool is_causal,
    std::optional<double>,
    bool grouped) {
  const bool half = query.scalar_type() == at::kHalf || query.scalar_type() == at::kBFloat16;
  const bool masked = mask.has_value() && mask->defined();
  const bool same_heads = query.size(-3) == key.size(-3) && query.size(-3) == value.size(-3);
  const bool same_width = query.size(-1) == value.size(-1);
  const bool square = query.size(-2) == key.size(-2);
  if (half && !masked && (same_heads || grouped) && same_width && query.size(-1) <= 256 && (square || !is_causal)) {
    return static_cast<int64_t>(sdp::SDPBackend::flash_attention);
  }
  const auto aligned = [](const at::Tensor& t) { return t.size(-1) * t.element_size() % 16 == 0; };
  if (same_heads && aligned(query) && aligned(value)) {
    return static_cast<int64_t>(sdp::SDPBackend::efficient_attention);
  }
  return static_cast<int64_t>(sdp::SDPBackend::math);
}

Guard guard;
const c10::impl::DeviceGuardImplRegistrar registered_guard(c10::DeviceType::CUDA, &guard);
const at::native::RegisterCUDADispatch<decltype(at::native::_fused_sdp_choice_stub)> registered_kernel(
    at::native::_fused_sdp_choice_stub,
    &attention_kernel);

} // namespace

// One kernel each on CUDA; where a device has none of its own, torch takes them apart into many operators.
void never_called(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack*) {
  TORCH_CHECK(false, op.schema(), " on a tensor that is not fake");
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  for (const auto* name : {"silu_backward", "mish_backward", "_fused_rms_norm"}) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&never_called>());
  }
}

namespace at {
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, ::Hooks)
} // namespace at
