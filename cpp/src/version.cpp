// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/version.h"

namespace sportcore {

const char* version() { return SPORTCORE_VERSION; }

}  // namespace sportcore
