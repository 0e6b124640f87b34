// Parses an ONNX graph and builds its engine ahead of time with TensorRT for RTX; needs neither a GPU nor a driver.
//
//     parse_and_build MODEL.onnx ENGINE [NAME=1x3x64x64 ...]
//
// Compiled against NVIDIA's open headers (NvInfer.h, NvOnnxParser.h). The libraries are opened at run time, from where
// LD_LIBRARY_PATH points, and are asked for the version that they call themselves. Prints one JSON object.

#include <dlfcn.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "NvInfer.h"
#include "NvOnnxParser.h"

namespace
{

class Complaints : public nvinfer1::ILogger
{
public:
    void log(Severity severity, char const* text) noexcept override
    {
        if (severity <= Severity::kWARNING)
        {
            std::fprintf(stderr, "%s\n", text);
        }
    }
};

[[noreturn]] void fail(std::string const& text)
{
    std::fprintf(stderr, "parse_and_build: %s\n", text.c_str());
    std::exit(1);
}

template <typename Function>
Function* symbol(void* library, char const* name)
{
    void* const found = dlsym(library, name);
    if (found == nullptr)
    {
        fail(std::string("the library has no ") + name + ": it isn't the one that these headers are for");
    }
    return reinterpret_cast<Function*>(found);
}

void* opened(char const* name)
{
    void* const library = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr)
    {
        fail(dlerror());
    }
    return library;
}

double seconds_since(std::chrono::steady_clock::time_point began)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

nvinfer1::Dims dims_of(std::string const& text)
{
    nvinfer1::Dims dims{};
    std::stringstream extents(text);
    std::string extent;
    while (std::getline(extents, extent, 'x'))
    {
        dims.d[dims.nbDims++] = std::stoll(extent);
    }
    return dims;
}

void set_shapes(nvinfer1::INetworkDefinition& network, nvinfer1::IBuilder& builder, nvinfer1::IBuilderConfig& config,
    std::map<std::string, std::string> const& shapes)
{
    auto* const profile = builder.createOptimizationProfile();
    bool any = false;
    for (int32_t index = 0; index < network.getNbInputs(); ++index)
    {
        auto const* const input = network.getInput(index);
        auto const own = input->getDimensions();
        bool dynamic = false;
        for (int32_t axis = 0; axis < own.nbDims; ++axis)
        {
            dynamic = dynamic || own.d[axis] < 0;
        }
        if (!dynamic)
        {
            continue;
        }
        auto const given = shapes.find(input->getName());
        if (given == shapes.end())
        {
            fail(std::string("the input ") + input->getName() + " takes any shape; fix it: --shape NAME=1x3x64x64");
        }
        for (auto const end : {nvinfer1::OptProfileSelector::kMIN, nvinfer1::OptProfileSelector::kOPT,
                 nvinfer1::OptProfileSelector::kMAX})
        {
            profile->setDimensions(input->getName(), end, dims_of(given->second));
        }
        any = true;
    }
    if (any)
    {
        config.addOptimizationProfile(profile);
    }
}

} // namespace

int main(int count, char** words)
{
    if (count < 3)
    {
        fail("takes MODEL.onnx ENGINE [NAME=1x3x64x64 ...]");
    }
    std::map<std::string, std::string> shapes;
    for (int index = 3; index < count; ++index)
    {
        std::string const word = words[index];
        auto const at = word.find('=');
        shapes[word.substr(0, at)] = at == std::string::npos ? "" : word.substr(at + 1);
    }
    void* const library = opened("libtensorrt_rtx.so.1");
    void* const parsers = opened("libtensorrt_onnxparser_rtx.so.1");
    int32_t const version = symbol<int32_t()>(library, "getInferLibVersion")();
    int32_t const parser_version = symbol<int32_t()>(parsers, "getNvOnnxParserVersion")();

    Complaints complaints;
    std::unique_ptr<nvinfer1::IBuilder> builder(static_cast<nvinfer1::IBuilder*>(
        symbol<void*(void*, int32_t)>(library, "createInferBuilder_INTERNAL")(&complaints, version)));
    if (!builder)
    {
        fail("the library makes no builder");
    }
    std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(0));
    std::unique_ptr<nvonnxparser::IParser> parser(static_cast<nvonnxparser::IParser*>(
        symbol<void*(void*, void*, int)>(parsers, "createNvOnnxParser_INTERNAL")(
            network.get(), &complaints, parser_version)));
    if (!network || !parser)
    {
        fail("the library makes no network or no parser");
    }

    auto began = std::chrono::steady_clock::now();
    if (!parser->parseFromFile(words[1], static_cast<int>(nvinfer1::ILogger::Severity::kWARNING)))
    {
        for (int32_t index = 0; index < parser->getNbErrors(); ++index)
        {
            auto const* const error = parser->getError(index);
            std::fprintf(stderr, "node %d (%s): %s\n", error->node(), error->nodeOperator(), error->desc());
        }
        fail(std::string("can't parse ") + words[1]);
    }
    double const parse_s = seconds_since(began);

    std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
    set_shapes(*network, *builder, *config, shapes);
    began = std::chrono::steady_clock::now();
    std::unique_ptr<nvinfer1::IHostMemory> engine(builder->buildSerializedNetwork(*network, *config));
    if (!engine)
    {
        fail(std::string("can't build ") + words[1]);
    }
    double const build_s = seconds_since(began);
    std::ofstream file(words[2], std::ios::binary);
    if (!file.write(static_cast<char const*>(engine->data()), static_cast<std::streamsize>(engine->size())).flush())
    {
        fail(std::string("can't write ") + words[2]);
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf(
        "{\"library_version\": \"%d.%d.%d\", \"parser_version\": %d, \"layers\": %d, \"inputs\": %d, \"parse_s\": %.3f, "
        "\"build_s\": %.3f, \"engine_bytes\": %zu, \"peak_rss_bytes\": %ld}\n",
        version / 10000, version / 100 % 100, version % 100, parser_version, network->getNbLayers(),
        network->getNbInputs(), parse_s, build_s, engine->size(), usage.ru_maxrss * 1024L);
    return 0;
}
