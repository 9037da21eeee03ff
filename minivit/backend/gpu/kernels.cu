// What a GPU runs in one launch where array operations would take many: each kernel here is the twin of the NumPy
// function of the same name (see `rowwise` and `elementwise` in kernels.py), with its arguments in the same order.
//
// All arrays are contiguous. T is how their elements are stored: float, double, or half precision. Wide<T> is what is
// computed in, float for half precision, and how a few arrays are stored: `wide(x)` reads a T, `rounded<T>(x)` makes
// one. The first two arguments are the shape of the first array: so many `rows` of `n` elements each. Loops stride over
// the whole grid, so any number of warps will do. LANES is how many threads make a warp: 32.

typedef long long Index;

#define FIRST_THREAD ((Index)blockIdx.x * blockDim.x + threadIdx.x)
#define ALL_THREADS ((Index)gridDim.x * blockDim.x)
#define EACH_ELEMENT(i) for (Index i = FIRST_THREAD; i < rows * n; i += ALL_THREADS)
#define EACH_ROW(row) for (Index row = FIRST_THREAD / LANES; row < rows; row += ALL_THREADS / LANES)
#define EACH_OF_ROW(j) for (Index j = FIRST_THREAD % LANES; j < n; j += LANES)

// -- half precision: 16 bits in memory, a float in registers ---------------------------------------------------

struct Half { unsigned short bits; };
struct Bfloat16 { unsigned short bits; };

template <typename T> struct Compute { typedef T type; };
template <> struct Compute<Half> { typedef float type; };
template <> struct Compute<Bfloat16> { typedef float type; };
template <typename T> using Wide = typename Compute<T>::type;

#ifdef __CUDACC__  // elsewhere the two are written out in cuda_on_cpu.h
__device__ inline float float_of_half(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ inline unsigned short half_of_float(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#endif

__device__ inline float wide(float x) { return x; }
__device__ inline double wide(double x) { return x; }
__device__ inline float wide(Half x) { return float_of_half(x.bits); }
__device__ inline float wide(Bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }

// To the nearest, and of two that are equally near to the even one.
template <typename T> __device__ T rounded(Wide<T> x) { return x; }
template <> __device__ inline Half rounded<Half>(float x) { return Half{half_of_float(x)}; }
template <> __device__ inline Bfloat16 rounded<Bfloat16>(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800  // one instruction; it takes 8 registers less in normalize_backward
    unsigned short rounded;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(x));
    return Bfloat16{rounded};
#else
    const unsigned bits = __float_as_uint(x);
    if (x != x) return Bfloat16{(unsigned short)(bits >> 16 | 64)};  // nan stays nan
    return Bfloat16{(unsigned short)(bits + 0x7fff + (bits >> 16 & 1) >> 16)};
#endif
}

// -- warps -----------------------------------------------------------------------------------------------------

template <typename T>
__device__ T sum_of_lanes(T x) {
    for (int distance = LANES / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

template <typename T>
__device__ T largest_of_lanes(T x) {
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        const T other = __shfl_xor_sync(0xffffffffu, x, distance);
        x = other > x ? other : x;
    }
    return x;
}

// -- rows: a warp each -----------------------------------------------------------------------------------------

// out <- softmax(scale x). `out` may be `x`.
template <typename T>
__global__ void softmax_in_place(Index rows, Index n, const Wide<T>* x, double scale_, T* out) {
    const Wide<T> scale = scale_;
    EACH_ROW(row) {
        const Wide<T>* own = x + row * n;
        Wide<T> largest = own[0] * scale;
        EACH_OF_ROW(j) largest = own[j] * scale > largest ? own[j] * scale : largest;
        largest = largest_of_lanes(largest);
        Wide<T> sum = 0;
        EACH_OF_ROW(j) sum += exp(own[j] * scale - largest);
        sum = sum_of_lanes(sum);
        EACH_OF_ROW(j) out[row * n + j] = rounded<T>(exp(own[j] * scale - largest) / sum);
    }
}

// Through y = softmax(scale x): out <- scale y (dy - sum(dy y)), the gradient of x. `out` as above.
template <typename T>
__global__ void softmax_backward_in_place(Index rows, Index n, const Wide<T>* dy, const T* y, double scale_, T* out) {
    const Wide<T> scale = scale_;
    EACH_ROW(row) {
        const Index start = row * n;
        Wide<T> product = 0;
        EACH_OF_ROW(j) product += dy[start + j] * wide(y[start + j]);
        product = sum_of_lanes(product);
        EACH_OF_ROW(j) out[start + j] = rounded<T>(scale * wide(y[start + j]) * (dy[start + j] - product));
    }
}

// normal <- (x - mean) inverse with inverse <- 1 / sqrt(var + eps), out <- normal weight + bias. `normal` may be `out`.
template <typename T>
__global__ void normalize(
    Index rows, Index n, const T* x, const T* weight, const T* bias, double eps, T* out, T* normal, Wide<T>* inverse
) {
    EACH_ROW(row) {
        const Index start = row * n;
        Wide<T> mean = 0, square = 0;
        EACH_OF_ROW(j) mean += wide(x[start + j]);
        mean = sum_of_lanes(mean) / n;
        EACH_OF_ROW(j) {
            const Wide<T> centred = wide(x[start + j]) - mean;
            square += centred * centred;
        }
        const Wide<T> factor = Wide<T>(1) / sqrt(sum_of_lanes(square) / n + Wide<T>(eps));
        if (FIRST_THREAD % LANES == 0) inverse[row] = factor;
        EACH_OF_ROW(j) {
            const Wide<T> normalized = (wide(x[start + j]) - mean) * factor;
            normal[start + j] = rounded<T>(normalized);
            out[start + j] = rounded<T>(normalized * wide(weight[j]) + wide(bias[j]));
        }
    }
}

// dx <- (g - mean(g) - normal mean(g normal)) inverse + before with g = dy weight; `before` may be missing. The rows are
// dealt out to so many `parts`, a warp for each, which adds up its rows of dy normal and of dy in `sums` (parts, 2, n):
// in the same order each time.
template <typename T>
__global__ void normalize_backward(
    Index rows, Index n, const T* dy, const T* normal, const T* weight, const Wide<T>* inverse, const T* before, T* dx,
    Wide<T>* sums, double parts
) {
    for (Index part = FIRST_THREAD / LANES; part < Index(parts); part += ALL_THREADS / LANES) {
        Wide<T>* own = sums + part * 2 * n;
        EACH_OF_ROW(j) own[j] = own[n + j] = 0;
        for (Index row = part; row < rows; row += Index(parts)) {
            const Index start = row * n;
            Wide<T> mean = 0, mean_of_product = 0;
            EACH_OF_ROW(j) {
                const Wide<T> slope = wide(dy[start + j]), both = slope * wide(normal[start + j]);
                own[j] += both;
                own[n + j] += slope;
                mean += slope * wide(weight[j]);
                mean_of_product += both * wide(weight[j]);
            }
            mean = sum_of_lanes(mean) / n;
            mean_of_product = sum_of_lanes(mean_of_product) / n;
            EACH_OF_ROW(j) {
                const Wide<T> g = wide(dy[start + j]) * wide(weight[j]);
                const Wide<T> own = (g - mean - wide(normal[start + j]) * mean_of_product) * inverse[row];
                dx[start + j] = rounded<T>(before ? own + wide(before[start + j]) : own);
            }
        }
    }
}

// out <- the sum of `parts` arrays of as many numbers, stored one after the other in `sums`. A row is one number.
template <typename T>
__global__ void add_parts(Index rows, Index n, T* out, const Wide<T>* sums, double parts) {
    EACH_ROW(row) {
        Wide<T> sum = 0;
        for (Index part = FIRST_THREAD % LANES; part < Index(parts); part += LANES) sum += sums[part * rows + row];
        sum = sum_of_lanes(sum);
        if (FIRST_THREAD % LANES == 0) out[row] = rounded<T>(sum);
    }
}

// sums <- the sums of squares in x (size), a row for so many neighbours.
template <typename T>
__global__ void square_sums(Index rows, Index n, Wide<T>* sums, const T* x, double share_, double size_) {
    const Index share = share_, size = size_;
    EACH_ROW(row) {
        const Index end = (row + 1) * share < size ? (row + 1) * share : size;
        Wide<T> sum = 0;
        for (Index i = row * share + FIRST_THREAD % LANES; i < end; i += LANES) sum += wide(x[i]) * wide(x[i]);
        sum = sum_of_lanes(sum);
        if (FIRST_THREAD % LANES == 0) sums[row] = sum;
    }
}

// out <- out + z + plus, for a row z; each of the two may be missing
template <typename T>
__global__ void add_to_rows(Index rows, Index n, T* out, const T* z, const T* plus) {
    EACH_ROW(row) {
        EACH_OF_ROW(j) {
            const Index i = row * n + j;
            Wide<T> sum = wide(out[i]);
            if (z) sum += wide(z[j]);
            if (plus) sum += wide(plus[i]);
            out[i] = rounded<T>(sum);
        }
    }
}

// -- elements: a thread each -----------------------------------------------------------------------------------

// out <- x phi, and its derivative if there is an array for it, for phi = (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)),
// u = c (x + 0.044715 x^3)
template <typename T>
__global__ void gelu_tanh(Index rows, Index n, const T* x, T* out, T* derivative) {
    typedef Wide<T> W;
    const W c = 0.7978845608028654;  // sqrt(2 / pi)
    EACH_ELEMENT(i) {
        const W value = wide(x[i]), square = value * value;
        const W phi = W(1) / (W(1) + exp(W(-2) * value * c * (W(1) + W(0.044715) * square)));
        const W twice_du = W(2) * c * (W(1) + W(3 * 0.044715) * square);
        out[i] = rounded<T>(value * phi);
        if (derivative) derivative[i] = rounded<T>(phi + value * phi * (W(1) - phi) * twice_du);
    }
}

// The same for phi = (1 + erf(x / sqrt 2)) / 2
template <typename T>
__global__ void gelu_erf(Index rows, Index n, const T* x, T* out, T* derivative) {
    typedef Wide<T> W;
    const W root = 0.7071067811865476, density = 0.3989422804014327;  // sqrt(1 / 2), 1 / sqrt(2 pi)
    EACH_ELEMENT(i) {
        const W value = wide(x[i]), phi = W(0.5) + W(0.5) * erf(value * root);
        out[i] = rounded<T>(value * phi);
        if (derivative) derivative[i] = rounded<T>(phi + value * density * exp(W(-0.5) * value * value));
    }
}

// g <- g most / norm if the norm, the root of `square`, is larger and finite
template <typename T>
__global__ void shrink_to_norm(Index rows, Index n, T* g, const Wide<T>* square, double most_) {
    const Wide<T> norm = sqrt(*square), most = most_;
    if (!(most < norm && norm - norm == 0)) return;
    EACH_ELEMENT(i) g[i] = rounded<T>(wide(g[i]) * (most / norm));
}

// mean <- momentum mean + gradient + decay w, w <- w - lr mean
template <typename T>
__global__ void sgd_step(
    Index rows, Index n, T* w, const T* gradient, Wide<T>* mean, double lr, double momentum, double decay
) {
    typedef Wide<T> W;
    EACH_ELEMENT(i) {
        mean[i] = W(momentum) * mean[i] + wide(gradient[i]) + W(decay) * wide(w[i]);
        w[i] = rounded<T>(wide(w[i]) - W(lr) * mean[i]);
    }
}

// w <- shrink w - rate mean / (root sqrt(square) + eps), with the running means of g = gradient + decay w and g^2
template <typename T>
__global__ void adam_step(
    Index rows, Index n, T* w, const T* gradient, Wide<T>* mean, Wide<T>* square, double rate, double beta1,
    double beta2, double eps, double root, double shrink, double decay
) {
    typedef Wide<T> W;
    EACH_ELEMENT(i) {
        const W before = wide(w[i]) * W(shrink), g = wide(gradient[i]) + W(decay) * wide(w[i]);
        mean[i] = W(beta1) * mean[i] + W(1 - beta1) * g;
        square[i] = W(beta2) * square[i] + W(1 - beta2) * g * g;
        w[i] = rounded<T>(before - W(rate) * mean[i] / (W(root) * sqrt(square[i]) + W(eps)));
    }
}

// -- random numbers --------------------------------------------------------------------------------------------

typedef unsigned long long Word64;

// Philox4x64-10: four random numbers of 64 bits from a counter and a key of two, as numpy.random.Philox draws them.
__device__ inline void philox(Word64 counter, Word64 key0, Word64 key1, Word64* words) {
    Word64 a = counter, b = 0, c = 0, d = 0;
    for (int round = 0; round < 10; ++round) {
        const Word64 high_a = __umul64hi(0xD2E7470EE14C6C93ull, a), low_a = 0xD2E7470EE14C6C93ull * a;
        const Word64 high_c = __umul64hi(0xCA5A826395121157ull, c), low_c = 0xCA5A826395121157ull * c;
        a = high_c ^ b ^ key0, b = low_c, c = high_a ^ d ^ key1, d = low_a;
        key0 += 0x9E3779B97F4A7C15ull, key1 += 0xBB67AE8584CAA73Bull;
    }
    words[0] = a, words[1] = b, words[2] = c, words[3] = d;
}

// out <- scale x where the random word of an element, half a number of Philox's, is `least` or more, else 0
template <typename T>
__global__ void drop(
    Index rows, Index n, const T* x, T* out, double first, double second, double third, double fourth, double least,
    double scale
) {
    const Word64 key0 = Word64(first) + (Word64(second) << 32), key1 = Word64(third) + (Word64(fourth) << 32);
    for (Index eight = FIRST_THREAD; 8 * eight < rows * n; eight += ALL_THREADS) {
        Word64 words[4];
        philox(eight + 1, key0, key1, words);  // NumPy counts from 1
#pragma unroll  // so that `words` stays in registers
        for (int j = 0; j < 8; ++j) {
            const Index i = 8 * eight + j;
            const unsigned word = unsigned(words[j / 2] >> 32 * (j % 2));
            if (i < rows * n) out[i] = rounded<T>(wide(x[i]) * Wide<T>(word >= unsigned(least) ? scale : 0));
        }
    }
}
