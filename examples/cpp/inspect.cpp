// Inspect images with an exported model: ./inspect MODEL.onnx IMAGE.ppm ...
//
// One line an image, with tabs: its path, score, score as a level of the map, verdict. Scores and verdicts are
// those of padim: at the model's smallest region, with its guard band. A file that cannot be used has the
// verdict "unreadable" and the reason; the others are scored all the same, and the exit code is 2. It is 1 if
// the model cannot be used, else 0.

#include <cstdio>
#include <memory>

#include "scorer.hpp"

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: %s MODEL.onnx IMAGE.ppm ...\n", argv[0]);
        return 1;
    }
    std::unique_ptr<padim::Scorer> scorer;
    try {
        scorer = std::make_unique<padim::Scorer>(argv[1]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", argv[1], error.what());
        return 1;
    }
    int unusable = 0;
    for (int i = 2; i < argc; ++i) {
        try {
            const padim::Inspection found = scorer->inspect(padim::read_pnm(argv[i]));
            std::printf("%s\t%.6g\t%d\t%s\n", argv[i], found.score, found.level, found.verdict);
        } catch (const std::exception& error) {
            ++unusable;
            std::printf("%s\tnan\t\tunreadable\t%s\n", argv[i], error.what());
        }
        std::fflush(stdout);
    }
    if (unusable) std::fprintf(stderr, "%d of %d files could not be used\n", unusable, argc - 2);
    return unusable ? 2 : 0;
}
