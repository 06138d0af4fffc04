/* SPDX-License-Identifier: MIT */
#include "report.hpp"
#include "workloads.hpp"
#include <algorithm>
#include <cerrno>
#include <samara/version.h>

void report::add(size_t n, const std::string &peer, const std::string &workload, double value)
{
	samples[{ n, peer, workload }].push_back(value);
	if (std::find(peers.begin(), peers.end(), peer) == peers.end())
		peers.push_back(peer);
}

const std::vector<double> *report::find(size_t n, const std::string &peer,
					const std::string &workload) const
{
	auto it = samples.find({ n, peer, workload });

	return it == samples.end() ? nullptr : &it->second;
}

report::spread report::spread_of(std::vector<double> v)
{
	std::sort(v.begin(), v.end());
	const size_t mid = v.size() / 2;

	return { v.size() % 2 ? v[mid] : (v[mid - 1] + v[mid]) / 2, v.front(), v.back() };
}

/* The figure and its spread, or with @ratio the multiple of that peer's figure. */
std::string report::cell(size_t n, const std::string &peer, const std::string &workload, bool best,
			 const std::string &ratio) const
{
	const std::vector<double> *own = find(n, peer, workload);
	char text[64];

	if (!own)
		return "-";
	const spread s = spread_of(*own);
	if (ratio.empty()) {
		const double half = s.median > 0 ? 50 * (s.high - s.low) / s.median : 0;

		std::snprintf(text, sizeof(text), "%.1f ~%.0f%%", s.shown(best, workload), half);
		return text;
	}
	const std::vector<double> *other = find(n, ratio, workload);
	if (!other)
		return "-";
	std::snprintf(text, sizeof(text), "%.2f",
		      s.shown(best, workload) / spread_of(*other).shown(best, workload));
	return text;
}

void report::print_table(size_t n, const std::vector<std::string> &columns, const options &opt,
			 const std::string &ratio) const
{
	std::printf("\n%zu mappings, distribution %s%s%s\n", n, opt.dist.c_str(),
		    ratio.empty() ? "" : ", in multiples of ", ratio.c_str());
	std::printf("%-13s", "");
	for (const auto &column : columns)
		std::printf(" %13s", column.c_str());
	std::printf("\n");
	for (const auto &peer : peers) {
		std::string line;
		bool any = false;

		for (const auto &column : columns) {
			const std::string text = cell(n, peer, column, opt.best, ratio);

			any = any || text != "-";
			line += ' ' + std::string(13 - std::min<size_t>(13, text.size()), ' ') +
				text;
		}
		if (any)
			std::printf("%-13s%s\n", peer.c_str(), line.c_str());
	}
}

void report::print(const options &opt) const
{
	std::printf(
		"\nEach figure: the %s of %zu repetitions, ~ half the distance of the extremes. "
		"ns per operation; bytes per mapping.\n",
		opt.best ? "best" : "median", opt.reps);
	for (size_t n : opt.sizes) {
		std::vector<std::string> alone, beside;

		for (const auto &w : workload_infos()) {
			const std::string name = w.name;
			const bool any =
				std::any_of(peers.begin(), peers.end(),
					    [&](const auto &peer) { return find(n, peer, name); });

			if (any)
				(name.rfind("read", 0) && name.rfind("write", 0) ? alone : beside)
					.push_back(name);
		}
		for (const auto &columns : { alone, beside }) {
			if (columns.empty())
				continue;
			print_table(n, columns, opt, "");
			if (!opt.ratio.empty() && find(n, opt.ratio, columns.front()))
				print_table(n, columns, opt, opt.ratio);
		}
	}
}

void report::print_json(FILE *out, const options &opt, const std::vector<chase> &calibration,
			int cpu) const
{
	const char *comma = "";

	std::fprintf(out, "{\n \"samara\": \"%s\",\n \"cpu\": \"%s\",\n \"pinned_to\": %d,\n",
		     samara_version(), cpu_name().c_str(), cpu);
	std::fprintf(out, " \"dist\": \"%s\",\n \"seed\": %lu,\n \"reps\": %zu,\n \"ops\": %zu,\n",
		     opt.dist.c_str(), static_cast<unsigned long>(opt.seed), opt.reps, opt.ops);
	std::fprintf(out, " \"miss_ns\": [");
	for (const auto &c : calibration) {
		std::fprintf(out, "%s{\"bytes\": %zu, \"ns\": %.2f}", comma, c.bytes, c.ns);
		comma = ", ";
	}
	std::fprintf(out, "],\n \"results\": [");
	comma = "\n";
	for (const auto &[id, values] : samples) {
		const spread s = spread_of(values);

		std::fprintf(
			out,
			"%s  {\"n\": %zu, \"peer\": \"%s\", \"workload\": \"%s\", \"median\": %.3f, "
			"\"min\": %.3f, \"max\": %.3f, \"samples\": [",
			comma, std::get<0>(id), std::get<1>(id).c_str(), std::get<2>(id).c_str(),
			s.median, s.low, s.high);
		for (size_t i = 0; i < values.size(); i++)
			std::fprintf(out, "%s%.3f", i ? ", " : "", values[i]);
		std::fprintf(out, "]}");
		comma = ",\n";
	}
	std::fprintf(out, "\n ]\n}\n");
}

int report::write_json(const options &opt, const std::vector<chase> &calibration, int cpu) const
{
	if (opt.json.empty())
		return 0;
	if (opt.json == "-") {
		print_json(stdout, opt, calibration, cpu);
		return 0;
	}
	FILE *out = std::fopen(opt.json.c_str(), "w");
	if (!out)
		return -errno;
	print_json(out, opt, calibration, cpu);
	return std::fclose(out) ? -errno : 0;
}
