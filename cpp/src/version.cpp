// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/version.h"

namespace sportcore {

const char* version() noexcept { return SPORTCORE_VERSION; }

int version_number() noexcept { return SPORTCORE_VERSION_NUMBER; }

}  // namespace sportcore
