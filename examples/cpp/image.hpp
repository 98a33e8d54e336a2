// Read a PPM or PGM file of 8 bits, and resize it as the model expects: with Pillow's antialiased bilinear filter.
//
// A camera's SDK gives pixels already: fill an Image with them, in RGB, and leave read_pnm out. OpenCV's
// INTER_LINEAR is not antialiased and gives other scores; docs/guides/line-pc.md has the figures.

#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace padim {

// What is wrong with an image or a model, as a sentence that begins after its name.
struct Unusable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Image {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;  // rows from the top, three bytes a pixel
};

inline std::vector<std::uint8_t> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<std::uint8_t> content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    // A folder can be opened on Linux; reading it fails.
    if (!file.good() && !file.eof()) throw Unusable("cannot be read");
    return content;
}

// Read a binary PPM (P6) or PGM (P5) of 8 bits; gray is repeated in the three channels.
inline Image read_pnm(const std::string& path) {
    const auto data = read_file(path);
    std::size_t at = 2;
    if (data.size() < 2 || data[0] != 'P' || (data[1] != '5' && data[1] != '6'))
        throw Unusable("is no binary PPM or PGM file (P6, P5); convert it first");

    const auto number = [&]() -> long {
        while (at < data.size() && (std::isspace(data[at]) || data[at] == '#')) {
            if (data[at++] == '#')
                while (at < data.size() && data[at] != '\n') ++at;
        }
        long value = -1;
        for (; at < data.size() && std::isdigit(data[at]); ++at)
            if ((value = std::max(value, 0L) * 10 + (data[at] - '0')) > 100000) break;
        return value;
    };
    const long width = number(), height = number(), largest = number();
    if (width < 1 || height < 1 || width > 65535 || height > 65535) throw Unusable("has a header that makes no sense");
    if (largest != 255) throw Unusable("is not of 8 bits (255 as the largest value); convert it first");

    const std::size_t channels = data[1] == '6' ? 3 : 1;
    const std::size_t pixels = std::size_t(width) * std::size_t(height), bytes = pixels * channels;
    if (data.size() - std::min(data.size(), at + 1) < bytes) throw Unusable("is cut short");
    const std::uint8_t* samples = data.data() + at + 1;
    const std::size_t behind = data.size() - (at + 1) - bytes;
    if (behind >= 3 && samples[bytes] == 'P' && std::isspace(samples[bytes + 2]))
        throw Unusable("holds several images; score each as a file of its own");

    Image image{int(width), int(height), std::vector<std::uint8_t>(pixels * 3)};
    for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = samples[channels == 3 ? i : i / 3];
    return image;
}

// For each pixel of a side of the result, the first pixel of the original that counts, and the weights from there.
struct Weights {
    std::vector<int> first;
    std::vector<std::vector<std::int32_t>> of;
};

constexpr int kWeightBits = 22;  // Pillow's: a weight of 1 is 2^22

inline Weights triangle_weights(int original, int result) {
    const double scale = double(original) / result, reach = std::max(scale, 1.0);
    Weights weights;
    for (int i = 0; i < result; ++i) {
        const double center = (i + 0.5) * scale;
        const int first = std::max(0, int(center - reach + 0.5));
        const int stop = std::min(original, int(center + reach + 0.5));
        std::vector<double> exact;
        double sum = 0;
        for (int j = first; j < stop; ++j) {
            exact.push_back(std::max(0.0, 1.0 - std::abs((j - center + 0.5) * (1.0 / reach))));
            sum += exact.back();
        }
        weights.first.push_back(first);
        auto& whole = weights.of.emplace_back();
        for (double weight : exact) whole.push_back(std::int32_t(0.5 + weight / sum * (1 << kWeightBits)));
    }
    return weights;
}

// Resize rows or columns: `lines` of them, `step` samples apart, of pixels `stride` samples apart.
inline void resample(const std::uint8_t* from, std::uint8_t* to, const Weights& weights, int lines,
                     std::size_t from_step, std::size_t to_step, std::size_t stride, int samples) {
    for (int line = 0; line < lines; ++line)
        for (std::size_t i = 0; i < weights.of.size(); ++i)
            for (int s = 0; s < samples; ++s) {
                const auto* pixel = from + line * from_step + weights.first[i] * stride + s;
                std::int64_t sum = std::int64_t(1) << (kWeightBits - 1);
                for (std::size_t j = 0; j < weights.of[i].size(); ++j) sum += std::int64_t(pixel[j * stride]) * weights.of[i][j];
                to[line * to_step + i * stride + s] =
                    std::uint8_t(std::clamp<std::int64_t>(sum >> kWeightBits, 0, 255));
            }
}

inline Image across(const Image& image, int width) {
    if (width == image.width) return image;
    Image result{width, image.height, std::vector<std::uint8_t>(std::size_t(width) * image.height * 3)};
    resample(image.rgb.data(), result.rgb.data(), triangle_weights(image.width, width), image.height,
             std::size_t(image.width) * 3, std::size_t(width) * 3, 3, 3);
    return result;
}

inline Image down(const Image& image, int height) {
    if (height == image.height) return image;
    const std::size_t row = std::size_t(image.width) * 3;
    Image result{image.width, height, std::vector<std::uint8_t>(row * height)};
    resample(image.rgb.data(), result.rgb.data(), triangle_weights(image.height, height), 1, 0, 0, row, int(row));
    return result;
}

// Resize an image along one axis, rounded to bytes, then along the other: the width first, but the height if it
// loses more than twice as many pixels as the width, as Pillow 13 does. The order changes one level in some pixels.
inline Image resized(const Image& image, int width, int height) {
    const int lost = image.height - height;
    if (lost > 0 && lost > 2 * (image.width - width)) return across(down(image, height), width);
    return down(across(image, width), height);
}

// The model's inputs: the pixels, and where in them the image is (1), for models that pad.
struct Input {
    std::vector<std::uint8_t> rgb;
    std::vector<float> inside;
};

// Stretch an image to the model's input, or fit it in and pad it with gray; halves are rounded up.
inline Input prepared(const Image& image, int width, int height, bool pad) {
    const std::int64_t across = image.width, down = image.height;
    int wide = width, high = height, left = 0, top = 0;
    if (pad && down * width >= across * height) {
        wide = int(std::max<std::int64_t>(1, (2 * across * height + down) / (2 * down)));
        left = (width - wide) / 2;
    } else if (pad) {
        high = int(std::max<std::int64_t>(1, (2 * down * width + across) / (2 * across)));
        top = (height - high) / 2;
    }
    const Image small = resized(image, wide, high);
    const std::size_t pixels = std::size_t(width) * height;
    Input input{std::vector<std::uint8_t>(pixels * 3, 127), std::vector<float>(pixels, 0.0f)};
    for (int y = 0; y < high; ++y) {
        const std::size_t start = std::size_t(y + top) * width + left;
        std::memcpy(&input.rgb[start * 3], &small.rgb[std::size_t(y) * wide * 3], std::size_t(wide) * 3);
        std::fill_n(&input.inside[start], wide, 1.0f);
    }
    return input;
}

}  // namespace padim
