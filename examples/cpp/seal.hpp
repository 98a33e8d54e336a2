// The SHA-256 that a model file carries of itself: its last 64 bytes, computed with "0" in their place.

#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "image.hpp"

namespace padim {

// Return the SHA-256 (FIPS 180-4) of a content as 64 hexadecimal digits.
inline std::string sha256(std::vector<std::uint8_t> content) {
    // Round constants and start values are the first 32 bits of the fractions of cube and square roots of primes.
    std::array<std::uint32_t, 64> constants{};
    std::array<std::uint32_t, 8> state{};
    for (int prime = 2, found = 0; found < 64; ++prime) {
        bool divisible = false;
        for (int d = 2; d * d <= prime; ++d) divisible |= prime % d == 0;
        if (divisible) continue;
        const auto fraction = [](long double root) {
            return std::uint32_t((root - std::floor(root)) * 4294967296.0L);
        };
        if (found < 8) state[found] = fraction(std::sqrt((long double)prime));
        constants[found++] = fraction(std::cbrt((long double)prime));
    }

    const std::uint64_t bits = std::uint64_t(content.size()) * 8;
    content.push_back(0x80);
    while (content.size() % 64 != 56) content.push_back(0);
    for (int shift = 56; shift >= 0; shift -= 8) content.push_back(std::uint8_t(bits >> shift));

    const auto turned = [](std::uint32_t value, int by) { return value >> by | value << (32 - by); };
    for (std::size_t block = 0; block < content.size(); block += 64) {
        std::array<std::uint32_t, 64> w{};
        for (int i = 0; i < 64; ++i) {
            if (i < 16) {
                for (int byte = 0; byte < 4; ++byte) w[i] = w[i] << 8 | content[block + 4 * i + byte];
                continue;
            }
            const std::uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + w[i - 7] +
                   (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        }
        auto s = state;
        for (int i = 0; i < 64; ++i) {
            const std::uint32_t one = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) +
                                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
            const std::uint32_t two = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) +
                                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            s = {one + two, s[0], s[1], s[2], s[3] + one, s[4], s[5], s[6]};
        }
        for (int i = 0; i < 8; ++i) state[i] += s[i];
    }
    std::string digits;
    for (const std::uint32_t word : state)
        for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[word >> shift & 15];
    return digits;
}

// Check a model file against the SHA-256 at its end; throw Unusable if it is damaged or has none.
inline void check_seal(const std::vector<std::uint8_t>& content) {
    constexpr char marker[] = "rJ\n\x06" "sha256\x12@";
    constexpr std::size_t marked = sizeof marker - 1, digits = 64;
    if (content.size() < marked + digits || std::memcmp(&content[content.size() - digits - marked], marker, marked) != 0)
        throw Unusable("is truncated, damaged or has no SHA-256; copy or export it again");
    auto zeroed = content;
    std::fill(zeroed.end() - digits, zeroed.end(), std::uint8_t('0'));
    const std::string stated(content.end() - digits, content.end());
    if (sha256(std::move(zeroed)) != stated)
        throw Unusable("was altered after it was exported; copy or export it again");
}

}  // namespace padim
