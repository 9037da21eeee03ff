// The words of CUDA that minivit/backend/kernels.cu uses, for a C++ compiler and a processor.
//
// With LANES 1 a kernel is one thread, which strides over everything: fast. With LANES 32 every thread of a launch is
// one of the machine's, and the lanes of a warp meet at each shuffle.

#include <cmath>

using std::erf;
using std::exp;
using std::sqrt;
using std::tanh;

#define __global__
#define __device__

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
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
