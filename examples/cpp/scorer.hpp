// An exported model, run with ONNX Runtime's C API.

#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "image.hpp"
#include "level_map.hpp"
#include "onnxruntime/onnxruntime_c_api.h"
#include "seal.hpp"

namespace padim {

struct Inspection {
    int level = 0;        // the score as a level of the map, at the model's smallest region
    double score = 0;     // the same in map units, which padim shows
    const char* verdict = "";
};

class Scorer {
public:
    // Open a model from its file; throw Unusable if it cannot be used.
    explicit Scorer(const std::string& path) : Scorer() {
        // ONNX Runtime reports to its maker otherwise. Before its first call.
#ifdef _WIN32
        _putenv_s("ORT_DISABLE_TELEMETRY", "1");
#else
        setenv("ORT_DISABLE_TELEMETRY", "1", 1);
#endif
        api_ = OrtGetApiBase()->GetApi(ORT_API_VERSION);
        if (!api_) throw Unusable("needs a newer ONNX Runtime than " + std::string(OrtGetApiBase()->GetVersionString()));

        content_ = read_file(path);
        check_seal(content_);
        checked(api_->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "padim", &env_));
        checked(api_->DisableTelemetryEvents(env_));
        OrtSessionOptions* options = nullptr;
        checked(api_->CreateSessionOptions(&options));
        OrtStatus* opened = api_->CreateSessionFromArray(env_, content_.data(), content_.size(), options, &session_);
        api_->ReleaseSessionOptions(options);
        checked(opened);
        checked(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory_));
        checked(api_->SessionGetModelMetadata(session_, &metadata_));

        if (!text("align").empty())
            throw Unusable("takes parts cut out of images; export it as a folder and use inspect_images.py");
        if (text("threshold_level").empty())
            throw Unusable("has no threshold, so there are no verdicts; set one and export it again");
        // Files of early versions do not say both sides; all were squares.
        height_ = std::stoi(text("input_height", text("input_size")));
        width_ = std::stoi(text("input_width", text("input_size")));
        pad_ = text("fit") == "pad";
        floats_ = text("map_type") == "float32";
        smallest_ = std::stoi(text("min_area"));
        threshold_ = std::stoi(text("threshold_level"));
        review_from_ = std::stoi(text("review_from"));
        review_to_ = std::stoi(text("review_to"));
        offset_ = std::stod(text("quantizer_offset"));
        step_ = std::stod(text("quantizer_step"));
    }

    Scorer(const Scorer&) = delete;
    Scorer& operator=(const Scorer&) = delete;

    ~Scorer() {
        if (!api_) return;
        if (metadata_) api_->ReleaseModelMetadata(metadata_);
        if (memory_) api_->ReleaseMemoryInfo(memory_);
        if (session_) api_->ReleaseSession(session_);
        if (env_) api_->ReleaseEnv(env_);
    }

    // Score an image; its pixels may be of any size.
    Inspection inspect(const Image& image) {
        Input input = prepared(image, width_, height_, pad_);
        const std::int64_t rgb_shape[] = {1, height_, width_, 3}, inside_shape[] = {1, height_, width_};
        const Value rgb = tensor(input.rgb, rgb_shape, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
        const Value inside = tensor(input.inside, inside_shape, 3, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
        const char* const inputs[] = {"rgb", "inside"};
        const char* const outputs[] = {"map"};
        const OrtValue* const given[] = {rgb.get(), inside.get()};
        OrtValue* out = nullptr;
        checked(api_->Run(session_, nullptr, inputs, given, pad_ ? 2 : 1, outputs, 1, &out));
        const Value map(out, api_->ReleaseValue);
        void* data = nullptr;
        checked(api_->GetTensorMutableData(map.get(), &data));

        const std::size_t pixels = std::size_t(width_) * height_;
        std::vector<std::uint16_t> levels(pixels);
        // As exported with --output-type float32 the levels are floats, of the same values.
        for (std::size_t i = 0; i < pixels; ++i)
            levels[i] = floats_ ? std::uint16_t(static_cast<float*>(data)[i]) : static_cast<std::uint16_t*>(data)[i];

        Inspection found;
        found.level = region_score(levels, width_, height_, smallest_);
        found.score = offset_ + step_ * found.level;
        if (review_from_ <= found.level && found.level <= review_to_)
            found.verdict = "review";
        else
            found.verdict = found.level > threshold_ ? "reject" : "accept";
        return found;
    }

private:
    // The public constructor calls this one first, so that what it has opened is released if it throws.
    Scorer() = default;

    using Value = std::unique_ptr<OrtValue, void(ORT_API_CALL*)(OrtValue*)>;

    void checked(OrtStatus* status) const {
        if (!status) return;
        const std::string message = api_->GetErrorMessage(status);
        api_->ReleaseStatus(status);
        throw Unusable("ONNX Runtime: " + message);
    }

    template <typename T>
    Value tensor(std::vector<T>& data, const std::int64_t* shape, std::size_t rank, ONNXTensorElementDataType type) const {
        OrtValue* value = nullptr;
        checked(api_->CreateTensorWithDataAsOrtValue(memory_, data.data(), data.size() * sizeof(T), shape, rank, type, &value));
        return Value(value, api_->ReleaseValue);
    }

    // Return an entry of the file's metadata; docs/reference/file-formats.md lists them.
    std::string text(const char* key, const std::string& otherwise = "") const {
        OrtAllocator* allocator = nullptr;
        checked(api_->GetAllocatorWithDefaultOptions(&allocator));
        char* value = nullptr;
        checked(api_->ModelMetadataLookupCustomMetadataMap(metadata_, allocator, key, &value));
        if (!value) return otherwise;
        const std::string found = value;
        checked(api_->AllocatorFree(allocator, value));
        return found;
    }

    const OrtApi* api_ = nullptr;
    OrtEnv* env_ = nullptr;
    OrtSession* session_ = nullptr;
    OrtMemoryInfo* memory_ = nullptr;
    OrtModelMetadata* metadata_ = nullptr;
    std::vector<std::uint8_t> content_;
    int width_ = 0, height_ = 0, smallest_ = 1, threshold_ = 0, review_from_ = 1, review_to_ = 0;
    bool pad_ = false, floats_ = false;
    double offset_ = 0, step_ = 1;
};

}  // namespace padim
