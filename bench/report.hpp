/* SPDX-License-Identifier: MIT */
/* Samples in, tables and JSON out. */
#ifndef BENCH_REPORT_HPP
#define BENCH_REPORT_HPP

#include "clock.hpp"
#include "options.hpp"
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <vector>

class report
{
      public:
	void add(size_t n, const std::string &peer, const std::string &workload, double value);

	/* One table per number of mappings: a row for each peer, a column for each workload. */
	void print(const options &opt) const;
	/* 0, or a negative errno of the file. */
	int write_json(const options &opt, const std::vector<chase> &calibration, int cpu) const;

      private:
	struct spread {
		double median, low, high; /* low, high: the extremes */

		/* Best is least, but for a percentage of what could be had. */
		double shown(bool best, const std::string &workload) const
		{
			const double good = workload == "read-kept" ? high : low;

			return best ? good : median;
		}
	};
	using key = std::tuple<size_t, std::string, std::string>;

	const std::vector<double> *find(size_t n, const std::string &peer,
					const std::string &workload) const;
	static spread spread_of(std::vector<double> samples);
	std::string cell(size_t n, const std::string &peer, const std::string &workload, bool best,
			 const std::string &ratio) const;
	void print_table(size_t n, const std::vector<std::string> &columns, const options &opt,
			 const std::string &ratio) const;
	void print_json(FILE *out, const options &opt, const std::vector<chase> &calibration,
			int cpu) const;

	std::map<key, std::vector<double>> samples;
	std::vector<std::string> peers; /* in the order of their first sample */
};

#endif
