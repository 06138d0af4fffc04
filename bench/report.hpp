/* SPDX-License-Identifier: MIT */
/* Samples in, tables and JSON out. */
#ifndef BENCH_REPORT_HPP
#define BENCH_REPORT_HPP

#include "clock.hpp"
#include "histogram.hpp"
#include "options.hpp"
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <vector>

/* What peers are measured on: @n mappings of a distribution, or a trace of @n operations. */
struct data_set {
	std::string dist;
	size_t n;

	bool operator<(const data_set &other) const
	{
		return std::tie(dist, n) < std::tie(other.dist, other.n);
	}
	bool operator==(const data_set &other) const
	{
		return n == other.n && dist == other.dist;
	}
};

/* Where it was measured. */
struct machine {
	int cpu, reader_cpu;       /* reader_cpu is -1 if there is only one CPU */
	calibration before, after; /* at the beginning and the end of the run */
	double clock_ns;           /* the cost of reading the clock */
};

class report
{
      public:
	/*
	 * Takes one peer's samples on one data set; drops those of workloads that are not wanted.
	 */
	class sink
	{
	      public:
		void operator()(const std::string &workload, double value) const;
		void operator()(const char *workload, const histogram &times) const;

	      private:
		friend class report;
		sink(report &to, const data_set &data, const char *peer, const options &opt)
		    : to(to), data(data), peer(peer), opt(opt)
		{
		}

		report &to;
		const data_set &data;
		const char *peer;
		const options &opt;
	};

	sink sink_of(const data_set &data, const char *peer, const options &opt)
	{
		return sink(*this, data, peer, opt);
	}

	/* Whether nothing has been measured. */
	bool empty() const
	{
		return samples.empty();
	}

	/*
	 * Prints a table for each data set and group of workloads: a row a peer, a column a
	 * workload.
	 */
	void print(const options &opt) const;
	void print_json(FILE *out, const options &opt, const machine &m) const;

      private:
	struct spread {
		double median, low, high; /* low, high: the extremes */

		double shown(bool best, const std::string &workload) const;
	};
	using key = std::tuple<data_set, std::string, std::string>;

	const std::vector<double> *find(const data_set &data, const std::string &peer,
					const std::string &workload) const;
	static spread spread_of(std::vector<double> samples);
	std::string cell(const data_set &data, const std::string &peer, const std::string &workload,
			 bool best, const std::string &ratio) const;
	void print_table(const data_set &data, const std::vector<std::string> &columns,
			 const options &opt, const std::string &ratio) const;
	void print_results(FILE *out) const;
	void print_histograms(FILE *out) const;

	std::map<key, std::vector<double>> samples;
	std::map<key, histogram> histograms;
	/* In the order of their first sample: */
	std::vector<std::string> peers;
	std::vector<data_set> sets;
};

#endif
