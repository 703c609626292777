# SPDX-License-Identifier: LGPL-2.1-or-later
package IPQueue;
use strict;
use XSLoader;
our $VERSION = '0.1';
XSLoader::load('IPQueue', $VERSION);
1;
