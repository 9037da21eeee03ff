// What a GPU runs in one launch where array operations would take many: each kernel here is the twin of the NumPy
// function of the same name (see `rowwise` and `elementwise` in kernels.py), with its arguments in the same order.
//
// All arrays are contiguous and of one type T, float or double. The first two arguments are the shape of the first
// array: so many `rows` of `n` elements each. Loops stride over the whole grid, so any number of warps will do. LANES is
// how many threads make a warp: 32.

typedef long long Index;

#define FIRST_THREAD ((Index)blockIdx.x * blockDim.x + threadIdx.x)
#define ALL_THREADS ((Index)gridDim.x * blockDim.x)
#define EACH_ELEMENT(i) for (Index i = FIRST_THREAD; i < rows * n; i += ALL_THREADS)
#define EACH_ROW(row) for (Index row = FIRST_THREAD / LANES; row < rows; row += ALL_THREADS / LANES)
#define EACH_OF_ROW(j) for (Index j = FIRST_THREAD % LANES; j < n; j += LANES)

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

// x <- softmax(scale x)
template <typename T>
__global__ void softmax_in_place(Index rows, Index n, T* x, double scale_) {
    const T scale = scale_;
    EACH_ROW(row) {
        T* own = x + row * n;
        T largest = own[0] * scale;
        EACH_OF_ROW(j) largest = own[j] * scale > largest ? own[j] * scale : largest;
        largest = largest_of_lanes(largest);
        T sum = 0;
        EACH_OF_ROW(j) sum += own[j] = exp(own[j] * scale - largest);
        sum = sum_of_lanes(sum);
        EACH_OF_ROW(j) own[j] /= sum;
    }
}

// Through y = softmax(scale x): dy <- scale y (dy - sum(dy y)), the gradient of x
template <typename T>
__global__ void softmax_backward_in_place(Index rows, Index n, T* dy, const T* y, double scale_) {
    const T scale = scale_;
    EACH_ROW(row) {
        T* own = dy + row * n;
        const T* y_ = y + row * n;
        T product = 0;
        EACH_OF_ROW(j) product += own[j] * y_[j];
        product = sum_of_lanes(product);
        EACH_OF_ROW(j) own[j] = scale * y_[j] * (own[j] - product);
    }
}

// normal <- (x - mean) inverse with inverse <- 1 / sqrt(var + eps), out <- normal weight + bias. `normal` may be `out`.
template <typename T>
__global__ void normalize(
    Index rows, Index n, const T* x, const T* weight, const T* bias, double eps, T* out, T* normal, T* inverse
) {
    EACH_ROW(row) {
        const Index start = row * n;
        T mean = 0, square = 0;
        EACH_OF_ROW(j) mean += x[start + j];
        mean = sum_of_lanes(mean) / n;
        EACH_OF_ROW(j) square += (x[start + j] - mean) * (x[start + j] - mean);
        const T factor = T(1) / sqrt(sum_of_lanes(square) / n + T(eps));
        if (FIRST_THREAD % LANES == 0) inverse[row] = factor;
        EACH_OF_ROW(j) {
            const T normalized = (x[start + j] - mean) * factor;
            normal[start + j] = normalized;
            out[start + j] = normalized * weight[j] + bias[j];
        }
    }
}

// product <- dy normal, and dx <- (g - mean(g) - normal mean(g normal)) inverse with g = dy weight
template <typename T>
__global__ void normalize_backward(
    Index rows, Index n, const T* dy, const T* normal, const T* weight, const T* inverse, T* dx, T* product
) {
    EACH_ROW(row) {
        const Index start = row * n;
        T mean = 0, mean_of_product = 0;
        EACH_OF_ROW(j) {
            const T both = dy[start + j] * normal[start + j];
            product[start + j] = both;
            mean += dy[start + j] * weight[j];
            mean_of_product += both * weight[j];
        }
        mean = sum_of_lanes(mean) / n;
        mean_of_product = sum_of_lanes(mean_of_product) / n;
        EACH_OF_ROW(j) {
            const T g = dy[start + j] * weight[j];
            dx[start + j] = (g - mean - normal[start + j] * mean_of_product) * inverse[row];
        }
    }
}

// -- elements: a thread each -----------------------------------------------------------------------------------

// out <- x phi, and its derivative if there is an array for it, for phi = (1 + tanh u) / 2, u = c (x + 0.044715 x^3)
template <typename T>
__global__ void gelu_tanh(Index rows, Index n, const T* x, T* out, T* derivative) {
    const T c = 0.7978845608028654;  // sqrt(2 / pi)
    EACH_ELEMENT(i) {
        const T square = x[i] * x[i];
        const T phi = T(0.5) + T(0.5) * tanh(x[i] * c * (T(1) + T(0.044715) * square));
        const T twice_du = T(2) * c * (T(1) + T(3 * 0.044715) * square);
        out[i] = x[i] * phi;
        if (derivative) derivative[i] = phi + x[i] * phi * (T(1) - phi) * twice_du;
    }
}

// The same for phi = (1 + erf(x / sqrt 2)) / 2
template <typename T>
__global__ void gelu_erf(Index rows, Index n, const T* x, T* out, T* derivative) {
    const T root = 0.7071067811865476, density = 0.3989422804014327;  // sqrt(1 / 2), 1 / sqrt(2 pi)
    EACH_ELEMENT(i) {
        const T value = x[i], phi = T(0.5) + T(0.5) * erf(value * root);
        out[i] = value * phi;
        if (derivative) derivative[i] = phi + value * density * exp(T(-0.5) * value * value);
    }
}

// mean <- momentum mean + gradient + decay w, w <- w - lr mean
template <typename T>
__global__ void sgd_step(
    Index rows, Index n, T* w, const T* gradient, T* mean, double lr, double momentum, double decay
) {
    EACH_ELEMENT(i) {
        mean[i] = T(momentum) * mean[i] + gradient[i] + T(decay) * w[i];
        w[i] -= T(lr) * mean[i];
    }
}

// w <- shrink w - rate mean / (root sqrt(square) + eps), with the running means of g = gradient + decay w and g^2
template <typename T>
__global__ void adam_step(
    Index rows, Index n, T* w, const T* gradient, T* mean, T* square, double rate, double beta1,
    double beta2, double eps, double root, double shrink, double decay
) {
    EACH_ELEMENT(i) {
        const T before = w[i] * T(shrink), g = gradient[i] + T(decay) * w[i];
        mean[i] = T(beta1) * mean[i] + T(1 - beta1) * g;
        square[i] = T(beta2) * square[i] + T(1 - beta2) * g * g;
        w[i] = before - T(rate) * mean[i] / (T(root) * sqrt(square[i]) + T(eps));
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
            if (i < rows * n) out[i] = x[i] * (word >= unsigned(least) ? T(scale) : T(0));
        }
    }
}
