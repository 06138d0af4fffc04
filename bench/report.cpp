/* SPDX-License-Identifier: MIT */
#include "report.hpp"
#include "workloads.hpp"
#include <algorithm>
#include <cerrno>
#include <samara/version.h>

namespace
{

template <class T> void note(std::vector<T> &list, const T &what)
{
	if (std::find(list.begin(), list.end(), what) == list.end())
		list.push_back(what);
}

/* Each call but the first returns the separator of two elements. */
class comma
{
      public:
	explicit comma(const char *between) : between(between)
	{
	}
	const char *operator()()
	{
		const char *text = first ? "" : between;

		first = false;
		return text;
	}

      private:
	const char *between;
	bool first = true;
};

/* Quotes @text for JSON. A file's name may have anything in it. */
std::string quoted(const std::string &text)
{
	std::string out = "\"";

	for (const char c : text) {
		char code[8];

		if (c == '"' || c == '\\')
			out += '\\';
		if (static_cast<unsigned char>(c) >= ' ') {
			out += c;
			continue;
		}
		std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned int>(c));
		out += code;
	}
	return out + '"';
}

/* @text, right-aligned in a column that is called @name and at least as wide as the name. */
std::string in_column(const std::string &name, const std::string &text)
{
	const size_t width = std::max<size_t>(14, name.size());

	return std::string(1 + width - std::min(width, text.size()), ' ') + text;
}

} // namespace

void report::sink::operator()(const std::string &workload, double value) const
{
	if (!wanted(opt, workload))
		return;
	to.samples[{ data, peer, workload }].push_back(value);
	note<std::string>(to.peers, peer);
	note(to.sets, data);
}

void report::sink::operator()(const char *workload, const histogram &times) const
{
	to.histograms[{ data, peer, workload }].add(times);
}

const std::vector<double> *report::find(const data_set &data, const std::string &peer,
					const std::string &workload) const
{
	auto it = samples.find({ data, peer, workload });

	return it == samples.end() ? nullptr : &it->second;
}

report::spread report::spread_of(std::vector<double> v)
{
	std::sort(v.begin(), v.end());
	const size_t mid = v.size() / 2;

	return { v.size() % 2 ? v[mid] : (v[mid - 1] + v[mid]) / 2, v.front(), v.back() };
}

/* The best is the least, except for rates and percentages of what could be had. */
double report::spread::shown(bool best, const std::string &workload) const
{
	if (!best)
		return median;
	const std::string unit = workload_of(workload).unit;

	return unit == "%" || unit == "M/s" ? high : low;
}

/* The figure and its spread or, with @ratio, the multiple of that peer's figure. */
std::string report::cell(const data_set &data, const std::string &peer, const std::string &workload,
			 bool best, const std::string &ratio) const
{
	const std::vector<double> *own = find(data, peer, workload);
	char text[64];

	if (!own)
		return "-";
	const spread s = spread_of(*own);
	if (ratio.empty()) {
		const double half = s.median > 0 ? 50 * (s.high - s.low) / s.median : 0;

		std::snprintf(text, sizeof(text), "%.1f ~%.0f%%", s.shown(best, workload), half);
		return text;
	}
	const std::vector<double> *other = find(data, ratio, workload);
	if (!other)
		return "-";
	std::snprintf(text, sizeof(text), "%.2f",
		      s.shown(best, workload) / spread_of(*other).shown(best, workload));
	return text;
}

void report::print_table(const data_set &data, const std::vector<std::string> &columns,
			 const options &opt, const std::string &ratio) const
{
	const bool trace = data.dist.rfind("trace:", 0) == 0;

	std::printf("\n%zu %s%s%s%s\n", data.n,
		    trace ? "operations of " : "mappings, distribution ", data.dist.c_str(),
		    ratio.empty() ? "" : ", in multiples of ", ratio.c_str());
	std::printf("%-16s", "");
	for (const auto &column : columns)
		std::printf("%s", in_column(column, column).c_str());
	std::printf("\n");
	for (const auto &peer : peers) {
		std::string line;
		bool any = false;

		for (const auto &column : columns) {
			const std::string text = cell(data, peer, column, opt.best, ratio);

			any = any || text != "-";
			line += in_column(column, text);
		}
		if (any)
			std::printf("%-16s%s\n", peer.c_str(), line.c_str());
	}
}

void report::print(const options &opt) const
{
	std::printf(
		"\nEach figure: the %s of %zu repetitions, ~ half the distance of the extremes. "
		"ns per operation; bytes per mapping; %% of the speed alone; reads-: million "
		"look-ups a second.\n",
		opt.best ? "best" : "median", opt.reps);
	for (const auto &data : sets) {
		std::map<std::string, std::vector<std::string>> groups;

		for (const auto &w : workload_infos())
			if (std::any_of(peers.begin(), peers.end(),
					[&](const auto &peer) { return find(data, peer, w.name); }))
				groups[w.group].push_back(w.name);
		for (const auto &[group, columns] : groups) {
			print_table(data, columns, opt, "");
			if (std::any_of(columns.begin(), columns.end(), [&](const auto &column) {
				    return find(data, opt.ratio, column);
			    }))
				print_table(data, columns, opt, opt.ratio);
		}
	}
}

void report::print_results(FILE *out) const
{
	comma next(",");

	for (const auto &[id, values] : samples) {
		const auto &[data, peer, workload] = id;
		const spread s = spread_of(values);
		comma between(", ");

		std::fprintf(out,
			     "%s\n  {\"dist\": %s, \"n\": %zu, \"peer\": \"%s\", "
			     "\"workload\": \"%s\", \"median\": %.3f, \"min\": %.3f, "
			     "\"max\": %.3f, \"samples\": [",
			     next(), quoted(data.dist).c_str(), data.n, peer.c_str(),
			     workload.c_str(), s.median, s.low, s.high);
		for (double value : values)
			std::fprintf(out, "%s%.3f", between(), value);
		std::fprintf(out, "]}");
	}
}

void report::print_histograms(FILE *out) const
{
	comma next(",");

	for (const auto &[id, times] : histograms) {
		const auto &[data, peer, workload] = id;
		comma between(", ");

		std::fprintf(out,
			     "%s\n  {\"dist\": \"%s\", \"n\": %zu, \"peer\": \"%s\", "
			     "\"workload\": \"%s\", \"max\": %lu, \"buckets\": [",
			     next(), data.dist.c_str(), data.n, peer.c_str(), workload.c_str(),
			     static_cast<unsigned long>(times.largest()));
		times.each([&](uint64_t low, uint64_t end, uint64_t count) {
			std::fprintf(out, "%s[%lu, %lu, %lu]", between(),
				     static_cast<unsigned long>(low),
				     static_cast<unsigned long>(end),
				     static_cast<unsigned long>(count));
		});
		std::fprintf(out, "]}");
	}
}

void report::print_json(FILE *out, const options &opt, const machine &m) const
{
	comma chases(", "), infos(","), names(", ");

	std::fprintf(out,
		     "{\n \"samara\": \"%s\",\n \"cpu\": %s,\n \"compiler\": %s,\n"
		     " \"pinned_to\": %d,\n \"reader_pinned_to\": %d,\n",
		     samara_version(), quoted(cpu_name()).c_str(), quoted(__VERSION__).c_str(),
		     m.cpu, m.reader_cpu);
	std::fprintf(out,
		     " \"seed\": %lu,\n \"reps\": %zu,\n \"ops\": %zu,\n \"clock_ns\": %.1f,\n"
		     " \"cpu_time\": %s,\n",
		     static_cast<unsigned long>(opt.seed), opt.reps, opt.ops, m.clock_ns,
		     opt.cpu_time ? "true" : "false");
	std::fprintf(out, " \"miss_ns\": [");
	for (size_t i = 0; i < m.before.chases.size(); i++)
		std::fprintf(out, "%s{\"bytes\": %zu, \"before\": %.2f, \"after\": %.2f}", chases(),
			     m.before.chases[i].bytes, m.before.chases[i].ns, m.after.chases[i].ns);
	std::fprintf(out, "],\n \"line_ns\": {\"before\": %.1f, \"after\": %.1f},\n \"peers\": [",
		     m.before.line_ns, m.after.line_ns);
	for (const auto &peer : peers)
		std::fprintf(out, "%s\"%s\"", names(), peer.c_str());
	std::fprintf(out, "],\n \"workloads\": [");
	for (const auto &w : workload_infos())
		std::fprintf(out,
			     "%s\n  {\"name\": \"%s\", \"unit\": \"%s\", \"group\": \"%s\", "
			     "\"what\": \"%s\"}",
			     infos(), w.name.c_str(), w.unit, w.group, w.what);
	std::fprintf(out, "\n ],\n \"results\": [");
	print_results(out);
	std::fprintf(out, "\n ],\n \"histograms\": [");
	print_histograms(out);
	std::fprintf(out, "\n ]\n}\n");
}
