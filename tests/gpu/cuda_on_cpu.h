// The words of CUDA that minivit/backend/gpu/kernels.cu uses, for a C++ compiler and a processor.
//
// With LANES 1 a kernel is one thread, which strides over everything: fast. With LANES 32 every thread of a launch is
// one of the machine's, and the lanes of a warp meet at each shuffle.

#include <cmath>
#include <cstring>

using std::erf;
using std::exp;
using std::sqrt;
using std::tanh;

#define __global__
#define __device__

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

// float16 has 5 bits of exponent and 10 of mantissa; below 2^-14 its numbers are multiples of 2^-24.
inline float float_of_half(unsigned short bits) {
    const unsigned sign = (bits & 0x8000u) << 16, rest = bits & 0x7fffu;
    if (rest >= 0x7c00) return __uint_as_float(sign | 0x7f800000 | (rest & 0x3ff) << 13);  // infinite or nan
    const float size = rest < 0x400 ? rest * 0x1p-24f : __uint_as_float((rest << 13) + (112u << 23));
    return sign ? -size : size;
}

inline unsigned short half_of_float(float x) {
    const unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) return sign | 0x7e00;   // nan
    if (rest >= 0x477ff000) return sign | 0x7c00;  // 65520 and more is infinite
    // The last digit of 0.5 is 2^-24: adding 0.5 rounds there.
    if (rest < 0x38800000) return sign | (__float_as_uint(std::fabs(x) + 0.5f) - __float_as_uint(0.5f));
    return sign | (rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
}

struct Place { unsigned x; };
thread_local Place threadIdx{0}, blockIdx{0}, blockDim{1}, gridDim{1};

#if LANES > 1
#include <barrier>
#include <memory>
#include <vector>

struct Warp {
    std::barrier<> meeting{LANES};
    double values[LANES];
};
thread_local Warp* warp = nullptr;
thread_local unsigned lane = 0;
std::vector<std::unique_ptr<Warp>> warps;

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    warp->values[lane] = value;
    warp->meeting.arrive_and_wait();
    const T other = warp->values[lane ^ distance];
    warp->meeting.arrive_and_wait();
    return other;
}

// For the threads of a launch: begin with no warps, then each thread says where it is.
extern "C" void begin(unsigned threads) {
    warps.clear();
    for (unsigned i = 0; i < threads / LANES; ++i) warps.push_back(std::make_unique<Warp>());
}

extern "C" void place(unsigned thread, unsigned block, unsigned threads, unsigned blocks) {
    threadIdx.x = thread, blockIdx.x = block, blockDim.x = threads, gridDim.x = blocks;
    const unsigned number = block * threads + thread;
    warp = warps[number / LANES].get(), lane = number % LANES;
}
#else
template <typename T>
T __shfl_xor_sync(unsigned, T value, int) { return value; }
#endif
