// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#pragma once

/// Calls of operator new so far, in this program and in the libraries it uses.
long allocations();
