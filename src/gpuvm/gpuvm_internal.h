/* SPDX-License-Identifier: MIT */
/* What the files of this layer share. */
#ifndef SMR_GPUVM_INTERNAL_H
#define SMR_GPUVM_INTERNAL_H

#include "gpuvm/list.h"
#include "base/ref.h"
#include "gpuvm/vm.h"

#endif
