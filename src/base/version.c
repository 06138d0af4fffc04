/* SPDX-License-Identifier: MIT */
#include <samara/version.h>

const char *samara_version(void)
{
	return SAMARA_VERSION_STRING;
}
