// The score of a level map, at the model's smallest region: what decides in padim itself.

#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace padim {

// Return the highest level t at which the pixels of at least t have an 8-connected region of `smallest` pixels;
// 0 if no region can be that large. The image is rejected if it is above the threshold.
//
// Pixels are added from the highest level downwards and joined with their neighbors; the first region that is
// large enough ends it.
inline int region_score(const std::vector<std::uint16_t>& levels, int width, int height, int smallest) {
    std::vector<std::vector<std::int32_t>> at(65536);
    for (std::size_t i = 0; i < levels.size(); ++i) at[levels[i]].push_back(std::int32_t(i));

    std::vector<std::int32_t> parent(levels.size(), -1), area(levels.size(), 1);  // -1: not added yet
    const auto root = [&](std::int32_t pixel) {
        while (parent[pixel] != pixel) pixel = parent[pixel] = parent[parent[pixel]];
        return pixel;
    };
    for (int level = 65535; level > 0; --level)
        for (const std::int32_t pixel : at[level]) {
            parent[pixel] = pixel;
            std::int32_t own = pixel;
            const int x = pixel % width, y = pixel / width;
            for (int dy = -1; dy <= 1; ++dy)
                for (int dx = -1; dx <= 1; ++dx) {
                    if (x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height) continue;
                    const std::int32_t neighbor = pixel + dy * width + dx;
                    if (neighbor == pixel || parent[neighbor] < 0) continue;
                    const std::int32_t other = root(neighbor);
                    if (other == own) continue;
                    const std::int32_t larger = area[own] >= area[other] ? own : other;
                    const std::int32_t smaller = larger == own ? other : own;
                    parent[smaller] = larger;
                    area[larger] += area[smaller];
                    own = larger;
                }
            if (area[own] >= smallest) return level;
        }
    return 0;
}

}  // namespace padim
